"""What the database costs per series, measured: real intake, ledger and relay, with no network and no computing."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import Connection, event, select

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


@dataclass(frozen=True, kw_only=True)
class LedgerCost:
    """Seconds are wall time of one thread; commits are counted at the database."""

    series: int
    slices: int
    intake_s: float
    intake_commits: int
    jobs_s: float
    job_commits: int

    @property
    def slices_per_s(self) -> float:
        """Instances that one thread stores safely per second."""
        return self.series * self.slices / self.intake_s

    @property
    def commit_s(self) -> float:
        """Seconds for one transaction of a job's life."""
        return self.jobs_s / self.job_commits

    @property
    def series_per_hour(self) -> float:
        """So many series the database carries, intake and job's life one after the other in one thread."""
        return 3600 * self.series / (self.intake_s + self.jobs_s)


def measure(settings: ServiceSettings, *, series: int, slices: int) -> LedgerCost:
    """Receive so many series and lead each job from submission to delivery."""
    database = open_database(settings)
    inbox, jobs = Inbox(settings, database), Jobs(settings, database)
    ledger = SqlLedger(settings, database)
    sender = settings.nodes[0].ae_title if settings.nodes else "BENCH"
    pixels = np.random.default_rng(0).integers(-1000, 1000, (SIDE, SIDE)).astype(np.int16)
    uids = [f"2.25.{uuid.uuid4().int}" for _ in range(series)]
    with _commits(database) as intake_commits:
        began, spent = time.perf_counter(), 0.0
        for uid in uids:
            drawing = time.perf_counter()
            files = _slices(uid, slices, pixels)
            spent += time.perf_counter() - drawing
            for data in files:
                inbox.receive(data, sender=sender, source="dicom")
        intake_s = time.perf_counter() - began - spent
        inbox.tallies.flush()
    with _commits(database) as job_commits:
        began = time.perf_counter()
        for uid in uids:
            _lead_through(uid, jobs, ledger, database)
        jobs_s = time.perf_counter() - began
    database.dispose()
    return LedgerCost(
        series=series,
        slices=slices,
        intake_s=intake_s,
        intake_commits=len(intake_commits),
        jobs_s=jobs_s,
        job_commits=len(job_commits),
    )


def _lead_through(uid: str, jobs: Jobs, ledger: SqlLedger, database: Database) -> None:
    job = jobs.submit(uid)
    claim = ledger.claim(job.id, "bench")
    if claim is None:
        return
    for number in range(RENEWALS):
        ledger.renew(claim, ProgressReport(stage="ctv", percent=100 * number / RENEWALS))
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


@contextmanager
def _commits(database: Database) -> Iterator[list[None]]:
    """Counts transactions that wrote."""
    seen: list[None] = []

    def note(connection: Connection) -> None:
        if not connection.get_execution_options().get("read_only", False):
            seen.append(None)

    event.listen(database.engine, "commit", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "commit", note)
