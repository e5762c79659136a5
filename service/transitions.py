"""The steps a job's record can take. Each runs inside the caller's transaction; nobody else sets `state`.

receiving -> queued -> running -> done | rejected | failed | cancelled, and running -> queued when a worker
is lost. receiving -> not-routed where no routing rule matches, and from there to queued by hand.
"""

import time
import uuid
from typing import Literal, cast

from sqlalchemy import Connection, Table, bindparam, select, update
from sqlalchemy.orm import Session

from service import audit
from service.audit import Action
from service.figures import note_end
from service.priority import NORMAL
from service.records import (
    ChangeCounter,
    DeliveryRecord,
    JobEventRecord,
    JobRecord,
    OutboxRecord,
    SeriesRecord,
)
from service.settings import ServiceSettings
from worker.errors import Cancelled
from worker.job_folder import OutcomeState

RECEIVED_MEANWHILE = "A later slice of the series arrived, so this job gave way to a newer one."
_COUNTER, _JOB = cast(Table, ChangeCounter.__table__), cast(Table, JobRecord.__table__)
_NEXT_NUMBER = update(_COUNTER).values(value=_COUNTER.c.value + 1).returning(_COUNTER.c.value)
_TELL_RECEIVING = (
    update(_JOB)
    .where(_JOB.c.series_uid == bindparam("uid"), _JOB.c.state == "receiving")
    .values(instance_count=bindparam("count"), version=bindparam("number"), updated_at=bindparam("now"))
)


def next_version(session: Session | Connection) -> int:
    """Take the next number of the change counter; whoever holds it commits before the next one gets his."""
    taken: int = session.execute(_NEXT_NUMBER).scalar_one()
    return taken


def touch(session: Session, job: JobRecord) -> None:
    """Make a change of the job visible to whoever follows changes."""
    job.version = next_version(session)
    job.updated_at = time.time()


def note_state(session: Session, job_id: str, state: str) -> None:
    """The job enters a state: whoever wants to hear of it will (`service/courier.py`)."""
    session.add(JobEventRecord(job_id=job_id, state=state, at=time.time()))


def ring(session: Session, kind: Literal["segment", "deliver"], ref: str, *, pause_s: float = 0.0) -> None:
    """Ask the relay to tell a worker, after a pause."""
    session.add(OutboxRecord(kind=kind, ref=ref, not_before=time.time() + pause_s))


def note_instances(connection: Connection, series_uid: str, count: int, settings: ServiceSettings) -> None:
    """New instances came: the series' job in state `receiving` counts them, or begins with them.

    Once per instance in the worst case, so the usual way is two statements made beforehand.
    """
    number = next_version(connection)
    values = {"uid": series_uid, "count": count, "number": number, "now": time.time()}
    if connection.execute(_TELL_RECEIVING, values).rowcount == 0:
        with Session(connection) as session, session.begin():  # within the caller's transaction
            receiving = new_job(session.get_one(SeriesRecord, series_uid), settings, str(uuid.uuid4()))
            receiving.instance_count, receiving.version = count, number
            session.add(receiving)
            note_state(session, receiving.id, "receiving")
            audit.record(session, Action.RECEIVED, sender=receiving.sender, **audit.about_job(receiving))


def new_job(series: SeriesRecord, settings: ServiceSettings, job_id: str) -> JobRecord:
    """A job in state `receiving`, with the settings' options. Not yet in the session."""
    now = time.time()
    return JobRecord(
        id=job_id,
        version=0,
        state="receiving",
        series_uid=series.series_uid,
        study_uid=series.study_uid,
        sender=series.sender,
        source=series.source,
        bundle=settings.bundle,
        passes=settings.passes,
        seed=settings.seed,
        priority=NORMAL,
        deliver=True,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
    )


def receiving_job(session: Session, series_uid: str) -> JobRecord | None:
    """The job that waits for the rest of its series."""
    found = session.scalars(
        select(JobRecord).where(JobRecord.series_uid == series_uid, JobRecord.state == "receiving")
    )
    return found.first()


def set_aside_job(session: Session, series_uid: str) -> JobRecord | None:
    """The series' job that no rule matched, if nothing has come since."""
    found = session.scalars(
        select(JobRecord).where(
            JobRecord.series_uid == series_uid,
            JobRecord.state == "not-routed",
            JobRecord.superseded_by.is_(None),
        )
    )
    return found.first()


def queue(session: Session, job: JobRecord) -> None:
    """The job may be claimed from now on."""
    job.state, job.stage, job.structure = "queued", "", None
    job.percent, job.passes_done = 0.0, 0
    job.lease_until = job.worker = job.enqueued_at = None
    job.enqueue_count = 0
    touch(session, job)
    note_state(session, job.id, "queued")
    ring(session, "segment", job.id)


def end(
    session: Session,
    job: JobRecord,
    state: OutcomeState | Literal["not-routed"],
    reason: dict[str, str] | None,
) -> None:
    """The job ends. A done job's deliveries begin in the same transaction (`deliver`)."""
    job.state, job.reason = state, reason
    job.lease_until = None
    if state == "done":
        job.percent, job.passes_done = 100.0, job.passes_total
    note_end(session, job)
    touch(session, job)
    note_state(session, job.id, state)
    audit.record(
        session,
        Action.JOB_ENDED,
        outcome="success" if state == "done" else "failure",
        state=state,
        code=None if reason is None else reason["code"],
        **audit.about_job(job),
    )


def deliver(session: Session, job: JobRecord, nodes: tuple[str, ...]) -> None:
    """One delivery to each node (AE titles)."""
    now = time.time()
    for node in nodes:
        delivery = DeliveryRecord(
            id=str(uuid.uuid4()), job_id=job.id, node=node, state="waiting", created_at=now, updated_at=now
        )
        session.add(delivery)
        ring(session, "deliver", delivery.id)


def ask_to_stop(session: Session, job: JobRecord, reason: dict[str, str] | None = None) -> None:
    """A queued job ends; a running one is told at its next renewal, a receiving one when it is complete."""
    if job.state == "queued":
        end(session, job, "cancelled", reason or Cancelled().as_reason())
        return
    job.cancel_requested = True
    job.reason = reason
    touch(session, job)


def supersede(session: Session, newer: JobRecord) -> None:
    """Mark every job on an older state of the same series, and stop those that have not ended."""
    older = session.scalars(
        select(JobRecord).where(
            JobRecord.series_uid == newer.series_uid,
            JobRecord.revision < newer.revision,
            JobRecord.superseded_by.is_(None),
            JobRecord.id != newer.id,
            JobRecord.state != "receiving",
        )
    )
    for job in older:
        job.superseded_by = newer.id
        if job.state in {"queued", "running"}:
            ask_to_stop(session, job, Cancelled(RECEIVED_MEANWHILE).as_reason())
        else:
            touch(session, job)
