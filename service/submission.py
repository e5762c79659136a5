"""From uploaded files to a job: every instance into the inbox, then the series to `Jobs.submit`, at once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.archive import check_archive, read_archive
from service.idempotency import IdempotencyKey
from service.inbox import Inbox, InboxUnavailable
from service.instance_header import PREAMBLE_BYTES
from service.job import Job
from service.jobs import Jobs
from service.problems import Problem, from_penumbra_error
from service.schemas import Intake, JobOptions
from service.settings import ServiceSettings
from service.whole_instance import kind_of
from worker.errors import MixedSeries, NoDicom, PenumbraError, TooLarge, UnreadableInstance
from worker.job_folder import write_atomically

SENDER = "rest"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MAX_FAULTS_TOLD = 20

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Fault:
    """A file of an upload that was not taken, and why. `where` says which, without its name."""

    where: str
    reason: PenumbraError


@dataclass
class Account:
    """What became of the files of one upload."""

    series_uids: dict[str, int] = field(default_factory=dict)
    sop_uids: set[str] = field(default_factory=set)
    duplicates: int = 0
    skipped: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def intake(self) -> Intake:
        """The account in numbers."""
        received = sum(self.series_uids.values())
        return Intake(received=received, duplicates=self.duplicates, skipped=self.skipped)


class Submission:
    """One upload on its way in."""

    def __init__(self, settings: ServiceSettings, inbox: Inbox, jobs: Jobs) -> None:
        self._settings = settings
        self._inbox = inbox
        self._jobs = jobs

    def submit(
        self, files: Sequence[Path], options: JobOptions, *, idempotency: IdempotencyKey | None = None
    ) -> tuple[Job, Intake]:
        """Take the files in and queue the one series they are.

        Archives are judged first, so that an unsafe one leaves no trace. What is received after that stays
        received, even where the answer is a problem.

        Raises:
            Problem: damaged instances, or more than one series.
            worker.errors.PenumbraError: unsafe archive, too large, no DICOM, no space.
        """
        for path in files:
            if is_archive(path):
                check_archive(path)
        account = self._receive_all(files)
        series_uid = _the_series(account)
        wishes = options.wishes(sender=SENDER, idempotency=idempotency)
        wishes["presented"] = account.sop_uids
        job = self._jobs.submit(series_uid, **wishes)
        return job, account.intake

    def _receive_all(self, files: Sequence[Path]) -> Account:
        account = Account()
        for where, data in self._contents(files):
            try:
                self._receive(data, account)
            except InboxUnavailable:
                raise
            except PenumbraError as reason:
                self._quarantine(data)
                account.faults.append(Fault(where, reason))
        return account

    def _contents(self, files: Sequence[Path]) -> Iterator[tuple[str, bytes | None]]:
        """Each file's place and bytes; None for bytes that a damaged archive no longer holds."""
        for number, path in enumerate(files, start=1):
            if is_archive(path):
                for entry in read_archive(path):
                    yield f"entry {entry.position} of the archive", entry.data
            else:
                if path.stat().st_size > self._settings.max_instance_bytes:
                    raise TooLarge(f"File {number} is larger than {self._settings.max_instance_bytes} bytes.")
                yield f"file {number}", path.read_bytes()

    def _receive(self, data: bytes | None, account: Account) -> None:
        if data is None:
            raise UnreadableInstance("The archive is damaged here.")
        kind = kind_of(data)
        if kind in {"not-dicom", "not-an-image"}:
            account.skipped += 1
            return
        if kind == "damaged":
            raise UnreadableInstance("The instance is damaged or cut off; its bytes are kept in quarantine.")
        received = self._inbox.receive(data, sender=SENDER, source="rest")
        uid = received.series_instance_uid
        account.sop_uids.add(received.sop_instance_uid)
        account.series_uids[uid] = account.series_uids.get(uid, 0) + 1
        account.duplicates += received.duplicate

    def _quarantine(self, data: bytes | None) -> None:
        if data is None:
            return
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._settings.quarantine_dir / sha256[:2] / sha256[2:4] / f"{sha256}.dcm"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, bytes(PREAMBLE_BYTES) + data[PREAMBLE_BYTES:])
        log.warning("instance quarantined", sha256=sha256)


def is_archive(path: Path) -> bool:
    """Whether the file begins as a zip does; its name does not matter."""
    with path.open("rb") as stream:
        return stream.read(4) in ZIP_MAGIC


def _the_series(account: Account) -> str:
    """The one series that was received whole; anything else is a problem."""
    uids = sorted(account.series_uids)
    if account.faults:
        raise _faulty(account)
    if not uids:
        raise NoDicom
    if len(uids) > 1:
        problem = from_penumbra_error(
            MixedSeries(
                f"The upload holds {len(uids)} series: {', '.join(uids)}. All were received and kept.",
                remedy='Submit each with POST /api/v1/jobs and {"series_instance_uid": "…"}.',
            )
        )
        raise _with(problem, account, series_instance_uids=uids)
    return uids[0]


def _faulty(account: Account) -> Problem:
    first, kept = account.faults[0], account.intake.received
    more = f" So are {len(account.faults) - 1} more." if len(account.faults) > 1 else ""
    detail = f"At {first.where}: {first.reason.message}{more} {kept} instances were received and kept."
    problem = from_penumbra_error(first.reason)
    problem.detail = detail
    faults = [{"where": each.where, **each.reason.as_reason()} for each in account.faults[:MAX_FAULTS_TOLD]]
    return _with(problem, account, faults=faults, series_instance_uids=sorted(account.series_uids))


def _with(problem: Problem, account: Account, **extra: object) -> Problem:
    problem.extra |= {**extra, "upload": account.intake.model_dump()}
    return problem
