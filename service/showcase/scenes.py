"""A worklist with a job in every state, as on a working day. Its patients are invented."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import select, update

from service.actor import Actor, acting
from service.contacts import ContactBook
from service.door import Caller
from service.figure_records import WorkerRecord
from service.looked import LookedPlaces, places_of
from service.records import DeliveryRecord, JobRecord
from service.roles import Role
from service.showcase.stage import Stage
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.errors import MissingSlices, NoPelvis, PenumbraError, WorkerLost
from worker.grid import Grid
from worker.job_folder import Outcome
from worker.ledger import ProgressReport

GPU_WORKER = "gpu@rt-gpu-1"
GPU = {
    "index": 0,
    "model": "NVIDIA RTX 4000 Ada",
    "driver": "570.86",
    "utilisation": 0.81,
    "memory_used_bytes": 6_200_000_000,
    "memory_total_bytes": 20_400_000_000,
    "temperature_c": 61,
}


def set_the_scene(stage: Stage, folder: Path) -> None:
    """Jobs that are refused, failed, stopped, delivered, on their way and waiting, the last one newest."""
    end: dict[str, Callable[[Stage, str], None]] = {
        "Nowak^Jan": lambda s, job: _refuse(
            s, job, MissingSlices("Slices are missing between z = -112.5 mm and z = -103.5 mm (2 of 161).")
        ),
        "Moreau^Luc": lambda s, job: _refuse(s, job, NoPelvis()),
        "Larsen^Ole": lambda s, job: _refuse(s, job, WorkerLost(), state="failed"),
        "Costa^Rui": lambda s, job: _stop(s, job),
        "Weber^Hans": lambda s, job: _run(s, job),
        "Okafor^Emeka": lambda s, job: None,
        "<script>alert('x')</script>^Test": lambda s, job: None,
    }
    for number, (name, act) in enumerate(end.items(), start=1):
        files = _series(folder / f"series-{number}", name, number)
        act(stage, stage.jobs.submit(stage.receive(files)).id)
    _age(stage)


def deliver(stage: Stage, job_id: str) -> None:
    """One node takes the result, the other does not answer."""
    with stage.database.read() as session:
        waiting = session.scalars(select(DeliveryRecord).where(DeliveryRecord.job_id == job_id)).all()
    for record in waiting:
        claim = stage.ledger.claim_delivery(record.id, "showcase")
        if claim is None:
            continue
        if record.node == "PLANNING":
            stage.ledger.delivered(claim)
        else:
            stage.ledger.undelivered(claim, "ARCHIVE at 127.0.0.1:104 could not be reached.")


def look(stage: Stage, job_id: str) -> None:
    """A reviewer has looked at the first two places."""
    job = stage.jobs.get(job_id)
    with acting(Actor(kind="session", name="Dr. Gray", role=Role.OPERATE)):
        LookedPlaces(stage.database).tick(job, dict.fromkeys(places_of(job)[:2], True))


def _series(folder: Path, name: str, number: int) -> list[Path]:
    slices = 20 + number
    grid = Grid(
        size_xyz=(16, 16, slices),
        spacing_mm=(30.0, 30.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference_uid=f"2.25.{number}",
    )
    patient = PatientIdentity(patient_id=f"{4711 * number:07d}", name=name, study_date="20260504")
    return write_ct_series(
        np.zeros((slices, 16, 16), np.int16),
        grid,
        folder,
        patient=patient,
        uid_seed=f"showcase-{number}",
        StudyDescription="RT planning pelvis",
        SeriesDescription="Pelvis 3 mm",
    )


def _refuse(stage: Stage, job_id: str, error: PenumbraError, *, state: str = "rejected") -> None:
    outcome = Outcome("failed" if state == "failed" else "rejected", error.as_reason())
    stage.ledger.publish(stage.claim(job_id), outcome)


def _stop(stage: Stage, job_id: str) -> None:
    stage.jobs.cancel(job_id)


def _run(stage: Stage, job_id: str) -> None:
    claim = stage.claim(job_id, GPU_WORKER)
    with stage.database.write() as session:
        session.execute(update(JobRecord).where(JobRecord.id == job_id).values(started_at=time.time() - 21.0))
    report = ProgressReport(
        stage="segmenting", structure="Rectum", passes_done=23, passes_total=50, percent=43.0
    )
    stage.ledger.renew(claim, report)


def _age(stage: Stage) -> None:
    """Spread the jobs over the last hours, in the order in which they were made."""
    with stage.database.write() as session:
        jobs = session.scalars(select(JobRecord).order_by(JobRecord.created_at.desc(), JobRecord.id)).all()
        for number, job in enumerate(jobs):
            job.created_at = time.time() - 40 - 1100 * number**1.6


def surround(stage: Stage) -> None:
    """Two workers that live now, and a stranger who was refused; to be called again before each picture."""
    with stage.database.write() as session:
        for name, queue in ((GPU_WORKER, "gpu"), ("delivery@rt-gpu-1", "delivery")):
            session.merge(
                WorkerRecord(name=name, host="rt-gpu-1", queue=queue, seen_at=time.time(), devices=[GPU])
            )
    book = ContactBook(stage.database)
    book.note(Caller(calling="PLANNING", called="PENUMBRA", address="127.0.0.1"), None)
    book.note(
        Caller(calling="CT_ROOM_2", called="PENUMBRA", address="192.0.2.15"), "it is not in the peer table"
    )
    book.flush()
