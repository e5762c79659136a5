"""Deletes received series and results after the time that was set; never what a job or a delivery needs.

One series or one result per transaction: rows, files, audit event and figure go together (`service/trash.py`).
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import ColumnElement, Select, delete, exists, select
from sqlalchemy.orm import Session

from service import audit
from service.audit import Action
from service.database import Database
from service.figures import DELETED
from service.file_lock import Busy, only_one
from service.job import ENDED
from service.records import DeliveryRecord, InstanceRecord, JobRecord, SeriesRecord
from service.settings import ServiceSettings
from service.tallies import count
from service.transitions import next_version
from service.trash import Removal, Trash
from worker.errors import PenumbraError
from worker.job_folder import instances_dir, published_dir

LOCK_NAME = "retention.lock"
DAY_S = 24 * 3600.0
BATCH = 50  # so many deletions per sweep, so that nobody waits long for the database

log = structlog.get_logger(__name__)


def lock_path(settings: ServiceSettings) -> Path:
    """What retention holds while it deletes, and a backup or a restore while nothing may be deleted."""
    return settings.data_dir / "locks" / LOCK_NAME


class Expired(PenumbraError):
    """What was there has been deleted by age, or to make room."""

    code = "expired"
    default_message = "The result has been deleted, as its time was over."
    default_remedy = "Send the series again to have it contoured anew."


@dataclass(frozen=True)
class Deadline:
    """What is older than `before` (seconds since 1970) goes; `why` stands in the audit log."""

    before: float
    why: str


class Retention:
    """One sweep at a time, on whichever host."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._rules = settings.retention
        self._database = database
        self._trash = Trash(settings)
        self._next_sweep = 0.0

    def sweep_if_due(self) -> None:
        """Sweep if the last time was `sweep_s` ago."""
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self._rules.sweep_s
            self.sweep()

    def sweep(self) -> int:
        """Delete what may go, and return how many series, results and quarantined instances went."""
        with suppress(Busy), only_one(lock_path(self._settings)):
            self._trash.recover(self._database)
            return sum(1 for _ in zip(range(BATCH), self._deletions(), strict=False))
        return 0

    def _deletions(self) -> Iterator[None]:
        now = time.time()
        for days, remove in (
            (self._rules.series_days, self._oldest_series),
            (self._rules.results_days, self._oldest_result),
            (self._rules.quarantine_days, self._quarantined),
        ):
            if days is not None:
                yield from _repeat(remove, Deadline(now - days * DAY_S, "age"))
        young = now - self._rules.make_room_after_hours * 3600
        while self._is_tight() and (
            self._oldest_series(Deadline(young, "space")) or self._oldest_result(Deadline(young, "space"))
        ):
            yield

    def _is_tight(self) -> bool:
        wanted = self._rules.make_room_below_bytes
        return wanted is not None and shutil.disk_usage(self._settings.data_dir).free < wanted

    def _oldest_series(self, deadline: Deadline) -> bool:
        """Delete the received instances of one series, and the links that its jobs hold to them."""
        with self._trash.removal() as removal, self._database.write() as session:
            series = session.scalars(_unneeded_series(deadline.before).limit(1)).first()
            if series is None:
                return False
            instances = session.scalars(
                select(InstanceRecord.path).where(InstanceRecord.series_uid == series.series_uid)
            ).all()
            session.execute(delete(InstanceRecord).where(InstanceRecord.series_uid == series.series_uid))
            series.instance_count = 0
            for job in session.scalars(select(JobRecord).where(JobRecord.series_uid == series.series_uid)):
                self._forget_input(session, job, removal)
            audit.record(
                session,
                Action.DELETED,
                series_uid=series.series_uid,
                study_uid=series.study_uid,
                kind="series",
                why=deadline.why,
                instances=len(instances),
            )
            count(session, DELETED, "series")
            session.flush()
            for path in instances:
                removal.take(self._settings.inbox_dir / path)
        log.info("series deleted", series_instance_uid=series.series_uid, count=len(instances))
        return True

    def _oldest_result(self, deadline: Deadline) -> bool:
        """Delete the result of one job. The job stays in the list, with the reason `expired` if it was done."""
        with self._trash.removal() as removal, self._database.write() as session:
            job = session.scalars(_unneeded_results(deadline.before).limit(1)).first()
            if job is None:
                return False
            job.has_result, job.dedup_key = False, None
            if job.state == "done":
                job.reason = Expired().as_reason()
            job.version = next_version(session)  # seen by who follows; `updated_at` stays the job's end
            audit.record(
                session,
                Action.DELETED,
                series_uid=job.series_uid,
                study_uid=job.study_uid,
                job_id=job.id,
                kind="result",
                why=deadline.why,
            )
            count(session, DELETED, "result")
            session.flush()
            folder = self._settings.jobs_dir / job.id
            removal.take(published_dir(folder) if instances_dir(folder).is_dir() else folder)
        log.info("result deleted", job_id=job.id)
        return True

    def _quarantined(self, deadline: Deadline) -> bool:
        old = next(
            (p for p in self._settings.quarantine_dir.glob("*/*.dcm") if p.stat().st_mtime < deadline.before),
            None,
        )
        if old is None:
            return False
        with self._trash.removal() as removal, self._database.write() as session:
            audit.record(session, Action.DELETED, subject=old.stem, kind="quarantined", why=deadline.why)
            count(session, DELETED, "quarantined")
            removal.take(old)
        return True

    def _forget_input(self, session: Session, job: JobRecord, removal: Removal) -> None:
        """The same series sent again must make a new job: this one can neither run nor be retried any more."""
        if job.dedup_key is not None:
            job.dedup_key = None
            job.version = next_version(session)  # seen by who follows; `updated_at` stays the job's end
        folder = self._settings.jobs_dir / job.id
        removal.take(instances_dir(folder) if job.has_result else folder)


def _repeat(remove: Callable[[Deadline], bool], deadline: Deadline) -> Iterator[None]:
    while remove(deadline):
        yield


def _unneeded_series(before: float) -> Select[SeriesRecord]:
    jobs = exists().where(JobRecord.series_uid == SeriesRecord.series_uid)
    busy = jobs.where(_in_use() | (JobRecord.updated_at >= before))
    query = select(SeriesRecord).where(
        SeriesRecord.pending.is_(False),
        SeriesRecord.last_received_at < before,
        SeriesRecord.instance_count > 0,
        ~busy,
    )
    return query.order_by(SeriesRecord.last_received_at)


def _unneeded_results(before: float) -> Select[JobRecord]:
    query = select(JobRecord).where(JobRecord.has_result, JobRecord.updated_at < before, ~_in_use())
    return query.order_by(JobRecord.updated_at)


def _in_use() -> ColumnElement[bool]:
    """A job that has not ended, or whose result is still on its way."""
    on_its_way = exists().where(
        DeliveryRecord.job_id == JobRecord.id, DeliveryRecord.state.in_(("waiting", "sending"))
    )
    return JobRecord.state.not_in(sorted(ENDED)) | on_its_way
