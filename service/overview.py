"""How things stand, for whoever runs Penumbra: queue, workers, deliveries, disk, and what went wrong last."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from service import counts
from service.contacts import Contact, contacts
from service.database import Database
from service.figure_records import WorkerRecord
from service.presence import GONE_AFTER_S
from service.records import DeliveryRecord, JobRecord
from service.settings import ServiceSettings

MOST_ERRORS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system of the data folder. Below `reserve_bytes` free nothing is taken."""

    free_bytes: int
    total_bytes: int
    reserve_bytes: int


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """A worker that showed itself during the last day. `at_work_on` is the id of the job that it has."""

    name: str
    host: str
    queue: str
    seen_at: float
    lives: bool
    gpus: Sequence[dict[str, Any]]
    at_work_on: str | None


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something that went wrong. `kind` is job, delivery or association; `of` names which one."""

    kind: str
    of: str
    job_id: str | None
    at: float
    words: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One moment. Numbers are by state, or by node; ages in seconds. `waits_long`: above `counts.LONG_WAIT_S`."""

    jobs: dict[str, int]
    oldest_waiting_s: float | None
    waits_long: bool
    undelivered: dict[str, int]
    disk: Disk
    workers: Sequence[WorkerState]
    troubles: Sequence[Trouble]


def overview(settings: ServiceSettings, database: Database) -> Overview:
    """How things stand now; a few short queries."""
    now = time.time()
    with database.read() as session:
        longest = counts.longest_wait_s(session, now)
        found = [*_failed_jobs(session), *_failed_deliveries(session)]
        workers = _workers(session, now)
        jobs = counts.jobs_by_state(session)
        undelivered = counts.undelivered_by_node(session)
    found += [_of_contact(each) for each in contacts(database) if each.refused]
    return Overview(
        jobs=jobs,
        oldest_waiting_s=longest,
        waits_long=(longest or 0.0) > counts.LONG_WAIT_S,
        undelivered=undelivered,
        disk=_disk(settings),
        workers=workers,
        troubles=sorted(found, key=lambda each: each.at, reverse=True)[:MOST_ERRORS],
    )


def _disk(settings: ServiceSettings) -> Disk:
    usage = shutil.disk_usage(settings.data_dir)
    return Disk(free_bytes=usage.free, total_bytes=usage.total, reserve_bytes=settings.min_free_bytes)


def _workers(session: Session, now: float) -> list[WorkerState]:
    running = select(JobRecord.worker, JobRecord.id).where(JobRecord.state == "running")
    has = {str(worker): str(job_id) for worker, job_id in session.execute(running)}
    return [
        WorkerState(
            name=each.name,
            host=each.host,
            queue=each.queue,
            seen_at=each.seen_at,
            lives=each.seen_at > now - GONE_AFTER_S,
            gpus=each.devices,
            at_work_on=has.get(each.name),
        )
        for each in session.scalars(select(WorkerRecord).order_by(WorkerRecord.name))
    ]


def _failed_jobs(session: Session) -> list[Trouble]:
    query = select(JobRecord).where(JobRecord.state == "failed").order_by(JobRecord.updated_at.desc())
    return [
        Trouble(kind="job", of=job.id[:8], job_id=job.id, at=job.updated_at, words=job.reason["message"])
        for job in session.scalars(query.limit(MOST_ERRORS))
        if job.reason is not None
    ]


def _failed_deliveries(session: Session) -> list[Trouble]:
    query = (
        select(DeliveryRecord)
        .where(DeliveryRecord.last_error.is_not(None), DeliveryRecord.state != "delivered")
        .order_by(DeliveryRecord.updated_at.desc())
        .limit(MOST_ERRORS)
    )
    return [
        Trouble(
            kind="delivery",
            of=each.node,
            job_id=each.job_id,
            at=each.updated_at,
            words=each.last_error or "",
        )
        for each in session.scalars(query)
    ]


def _of_contact(contact: Contact) -> Trouble:
    return Trouble(
        kind="association",
        of=contact.ae_title,
        job_id=None,
        at=contact.at.timestamp(),
        words=f"{contact.refused} (from {contact.address})",
    )
