"""What the database costs per series, measured: real intake, ledger and relay, with no network and no computing."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from service.database import Database, open_database
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.records import DeliveryRecord
from service.settings import ServiceSettings
from worker.job_folder import RESULT_NAME, RTSTRUCT_NAME, Outcome, attempt_dir
from worker.ledger import ProgressReport

SIDE = 512
RENEWALS = 10  # of each job, as a heartbeat would do


@dataclass
class Written:
    """Transactions that wrote, and for how long they kept other writers out."""

    commits: int = 0
    seconds: float = 0.0

    @property
    def commit_s(self) -> float:
        """Seconds of one transaction."""
        return self.seconds / max(1, self.commits)


@dataclass(frozen=True, kw_only=True)
class LedgerCost:
    """`intake_s` and `jobs_s` are wall time of one thread."""

    series: int
    slices: int
    intake_s: float
    jobs_s: float
    intake: Written
    renewals: Written
    jobs: Written
    """A job's life without its renewals."""

    @property
    def slices_per_s(self) -> float:
        """Instances that one thread stores safely per second."""
        return self.series * self.slices / self.intake_s

    @property
    def series_per_hour(self) -> float:
        """So many series the database carries, intake and job's life one after the other in one thread."""
        return 3600 * self.series / (self.intake_s + self.jobs_s)


def measure(settings: ServiceSettings, *, series: int, slices: int) -> LedgerCost:
    """Receive so many series and lead each job from submission to delivery."""
    open_database(settings).dispose()
    database = _TimedDatabase(settings.resolved_database_url)
    sender = settings.nodes[0].ae_title if settings.nodes else "BENCH"
    uids = [f"2.25.{uuid.uuid4().int}" for _ in range(series)]
    began = time.perf_counter()
    drawing_s = _receive(uids, slices, Inbox(settings, database), sender)
    received = time.perf_counter()
    jobs, ledger = Jobs(settings, database), SqlLedger(settings, database)
    for uid in uids:
        _lead_through(uid, jobs, ledger, database)
    ended = time.perf_counter()
    database.dispose()
    return LedgerCost(
        series=series,
        slices=slices,
        intake_s=received - began - drawing_s,
        jobs_s=ended - received,
        intake=database.written["intake"],
        renewals=database.written["renewals"],
        jobs=database.written["jobs"],
    )


def _receive(uids: Sequence[str], slices: int, inbox: Inbox, sender: str) -> float:
    """Receive all series; returns the seconds that making them took."""
    pixels = np.random.default_rng(0).integers(-1000, 1000, (SIDE, SIDE)).astype(np.int16)
    drawing_s = 0.0
    for uid in uids:
        began = time.perf_counter()
        files = _slices(uid, slices, pixels)
        drawing_s += time.perf_counter() - began
        for data in files:
            inbox.receive(data, sender=sender, source="dicom")
    inbox.tallies.flush()
    return drawing_s


def _lead_through(uid: str, jobs: Jobs, ledger: SqlLedger, database: _TimedDatabase) -> None:
    database.subject = "jobs"
    job = jobs.submit(uid)
    claim = ledger.claim(job.id, "bench")
    if claim is None:
        return
    database.subject = "renewals"
    for number in range(RENEWALS):
        ledger.renew(claim, ProgressReport(stage="ctv", percent=100 * number / RENEWALS))
    database.subject = "jobs"
    attempt = attempt_dir(claim.folder, claim.fence)
    attempt.mkdir()
    (attempt / RESULT_NAME).write_text('{"state": "done", "seconds": {"ctv": 1.0}}')
    (attempt / RTSTRUCT_NAME).write_bytes(bytes(2**20))
    ledger.publish(claim, Outcome("done"))
    with database.read() as session:
        waiting = session.scalars(select(DeliveryRecord.id).where(DeliveryRecord.job_id == job.id)).all()
    for delivery_id in waiting:
        taken = ledger.claim_delivery(delivery_id, "bench")
        if taken is not None:
            ledger.delivered(taken)


class _TimedDatabase(Database):
    """Adds up how long writers hold the database, by `subject`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.subject = "intake"
        self.written: dict[str, Written] = defaultdict(Written)

    @contextmanager
    def write(self) -> Iterator[Session]:
        with super().write() as session:
            began = time.perf_counter()  # it has its turn; from here on others wait
            yield session
        self._note(began)

    @contextmanager
    def write_rows(self) -> Iterator[Connection]:
        with super().write_rows() as connection:
            began = time.perf_counter()
            yield connection
        self._note(began)

    def _note(self, began: float) -> None:
        written = self.written[self.subject]
        written.commits += 1
        written.seconds += time.perf_counter() - began


def _slices(uid: str, count: int, pixels: np.ndarray) -> Sequence[bytes]:
    return [_slice(uid, number, pixels) for number in range(1, count + 1)]


def _slice(uid: str, number: int, pixels: np.ndarray) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{uid}.{number}"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.Modality = uid, uid, "CT"
    dataset.Rows = dataset.Columns = SIDE
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = (pixels + number).tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
