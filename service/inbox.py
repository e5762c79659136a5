"""What was received stays received: an instance is on disk and in the database before its sender hears so.

Paths are made from the content's SHA-256, never from a UID.
"""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from service import audit
from service.audit import Action
from service.audit_refusals import Refusals, Repetitions
from service.database import Database
from service.figures import counted
from service.instance_header import PREAMBLE_BYTES, InstanceHeader, NotAnImage, read_header, same_content
from service.instance_register import Arrival, InstanceRegister, Known
from service.pull_state import still_coming
from service.records import InstanceRecord, SeriesRecord
from service.settings import ServiceSettings
from service.tallies import TallyBuffer
from worker.errors import PenumbraError, TooLarge
from worker.job_folder import sync_folder

Source = Literal["dicom", "rest"]

log = structlog.get_logger(__name__)


class UidMismatch(NotAnImage):
    """The object is not the one its sender announced."""

    code = "uid-mismatch"
    default_message = "The instance's UIDs differ from those that were announced for it."
    default_remedy = "Check the sending system; the instance was not kept."


class ClassMismatch(UidMismatch):
    """The object is of another SOP class than its sender announced."""

    default_message = "The instance's SOP class differs from the one that was announced for it."


class ConflictingInstance(PenumbraError):
    """An instance of the same UID but other content was received before."""

    code = "conflicting-instance"
    default_remedy = "An image that was changed needs a new SOP Instance UID. The first one received is kept."


class InboxUnavailable(PenumbraError):
    """Nothing can be received at the moment; try again later."""

    code = "unavailable"
    default_message = "Instances cannot be stored at the moment."
    default_remedy = "Send again in a few minutes; if it stays, look at the database and the disk."


class OutOfSpace(InboxUnavailable):
    """The disk is (nearly) full."""

    code = "out-of-space"
    default_message = "There is too little free space to store the instance."
    default_remedy = "Free disk space on Penumbra's host, then send again."


@dataclass(frozen=True, kw_only=True)
class Received:
    """An instance that is safely stored. `duplicate` means it was before."""

    sop_instance_uid: str
    series_instance_uid: str
    duplicate: bool


@dataclass(frozen=True, kw_only=True)
class QuietSeries:
    """A series that got new instances, and then none for the quiet period."""

    series_instance_uid: str
    sender: str
    instance_count: int


class Announced(NamedTuple):
    """What the command of a C-STORE says about its dataset."""

    sop_uid: str
    sop_class_uid: str


class Inbox:
    """Receives instances and knows when a series has gone quiet."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self.refusals = Refusals(database)
        self._repetitions = Repetitions(database)
        self.tallies = TallyBuffer(database)
        self._register = InstanceRegister(settings, database)

    @property
    def database(self) -> Database:
        """Where instances are registered."""
        return self._database

    @counted
    def receive(
        self,
        data: bytes,
        *,
        sender: str,
        source: Source,
        announced: Announced | None = None,
        called: str | None = None,
        header: InstanceHeader | None = None,
    ) -> Received:
        """Store one DICOM object (Part 10 bytes); it survives a crash once this returns.

        The same object again is fine. `called` is the AE title that the sender called us by; `header` spares reading
        and hashing the bytes again, where that was done already.

        Raises:
            NotAnImage: no DICOM image, or a damaged header.
            UidMismatch: another object than announced (ClassMismatch: of another class).
            ConflictingInstance: its UID is taken by other content.
            TooLarge: more than `max_instance_bytes`.
            OutOfSpace: the disk is (nearly) full.
            InboxUnavailable: the database cannot be reached.
        """
        if len(data) > self._settings.max_instance_bytes:
            raise TooLarge(f"An instance of {len(data)} bytes is larger than allowed.")
        header = header or read_header(data)
        if announced is not None and announced.sop_uid != header.sop_uid:
            raise UidMismatch
        if announced is not None and announced.sop_class_uid != header.sop_class_uid:
            raise ClassMismatch
        try:
            duplicate = self._keep(data, header, sender=sender, source=source, called=called)
        except OperationalError as error:
            raise InboxUnavailable from error
        return Received(
            sop_instance_uid=header.sop_uid, series_instance_uid=header.series_uid, duplicate=duplicate
        )

    def quiet_series(self) -> list[QuietSeries]:
        """Series with new instances, the last of them older than the quiet period. Over all associations."""
        latest = time.time() - self._settings.quiet_period_s
        query = select(SeriesRecord).where(SeriesRecord.pending, SeriesRecord.last_received_at <= latest)
        query = query.where(~still_coming())
        with self._database.read() as session:
            return [
                QuietSeries(
                    series_instance_uid=series.series_uid,
                    sender=series.sender,
                    instance_count=series.instance_count,
                )
                for series in session.scalars(query)
            ]

    def series(self, series_uid: str) -> Sequence[InstanceRecord]:
        """What has been received of a series, by SOP Instance UID."""
        query = select(InstanceRecord).where(InstanceRecord.series_uid == series_uid)
        with self._database.read() as session:
            return session.scalars(query.order_by(InstanceRecord.sop_uid)).all()

    def path(self, instance: InstanceRecord | Known) -> Path:
        """The file of an instance."""
        return self._settings.inbox_dir / instance.path

    def make_folders(self) -> None:
        """Make every folder an instance may come into; else the first ones of a new inbox wait for it."""
        for number in range(256):
            _make_folders(self._settings.inbox_dir / f"{number:02x}", flush=False)
        sync_folder(self._settings.inbox_dir)

    def has_space(self) -> bool:
        """Whether another instance would be taken."""
        self._settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._settings.data_dir).free >= self._settings.min_free_bytes

    def sweep_leftovers(self) -> int:
        """Delete what a crash left half-written, and say how many. Nothing may be received meanwhile."""
        leftovers = list(self._settings.inbox_dir.glob("*/.*.tmp"))
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        return len(leftovers)

    def _keep(
        self, data: bytes, header: InstanceHeader, *, sender: str, source: Source, called: str | None
    ) -> bool:
        """Store and register it. True if it was there before."""
        known = self._register.find(header.sop_uid)
        if known is None:
            path = self._store(self._settings.inbox_dir, data, header.sha256)
            arrival = Arrival(
                header=header,
                path=path.relative_to(self._settings.inbox_dir).as_posix(),
                size_bytes=len(data),
                sender=sender,
                source=source,
                called=called,
            )
            known = self._register.add(arrival)  # somebody may have been faster with this instance
        if known is None:
            return False
        self._refuse_other_content(data, header, known)
        self._repetitions.note(header, sender)
        return True

    def _refuse_other_content(self, data: bytes, header: InstanceHeader, known: Known) -> None:
        if known.sha256 == header.sha256 or same_content(data, self.path(known).read_bytes()):
            return
        log.warning("conflicting instance", sop_instance_uid=header.sop_uid, sha256=header.sha256)
        with suppress(OutOfSpace):
            self._store(self._settings.quarantine_dir, data, header.sha256)
        with self._database.write() as session:
            audit.record(session, Action.CONFLICT, outcome="failure", **_named(header))
        raise ConflictingInstance(f"Instance {header.sop_uid} was received before with other content.")

    def _store(self, root: Path, data: bytes, sha256: str) -> Path:
        """Write a file so that it survives a crash: beside, flush, rename, flush the folder."""
        if not self.has_space():
            raise OutOfSpace
        folder = root / sha256[:2]
        path = folder / f"{sha256}.dcm"
        beside = folder / f".{sha256}.{os.urandom(6).hex()}.tmp"
        try:
            _make_folders(folder)
            with beside.open("xb") as stream:
                os.fchmod(stream.fileno(), 0o600)
                stream.write(bytes(PREAMBLE_BYTES))  # whatever the preamble held, it is not for us to keep
                stream.write(memoryview(data)[PREAMBLE_BYTES:])
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
            sync_folder(folder)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise OutOfSpace from error
        return path


def _named(header: InstanceHeader) -> dict[str, Any]:
    """What the audit log says of an instance."""
    return {"series_uid": header.series_uid, "study_uid": header.study_uid, "subject": header.sop_uid}


def _make_folders(folder: Path, *, flush: bool = True) -> None:
    """Make a folder and those above it; each new name is flushed too, unless the caller does that."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    if flush:
        sync_folder(folder.parent)
