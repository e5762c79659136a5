"""Jobs as clients handle them: submit, look, cancel, retry. `service/ledger.py` serves the workers."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, selectinload

from service.database import Database
from service.job import ENDED, Job, JobState, job_of
from service.records import InstanceRecord, JobRecord, SeriesRecord
from service.settings import ServiceSettings
from service.transitions import (
    ask_to_stop,
    end,
    new_job,
    queue,
    receiving_job,
    supersede,
)
from worker.errors import Cancelled, PenumbraError
from worker.job_folder import JobRequest, write_job_folder


class JobNotFound(PenumbraError):
    """No job has this id."""

    code = "job-not-found"
    default_message = "There is no such job."
    default_remedy = "List the jobs to see their ids."


class SeriesNotFound(PenumbraError):
    """No instance of this series was received."""

    code = "series-not-found"
    default_message = "No instance of this series has been received."
    default_remedy = "Send the series first."


class StateConflict(PenumbraError):
    """The job's state does not allow it."""

    code = "state-conflict"
    default_remedy = "Look at the job's state first."


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Some jobs, newest first, and the cursor that continues the list."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


class _Given(TypedDict):
    request: JobRequest
    key: str
    sender: str | None


class Jobs:
    """The state machine's front: every call is one or two short transactions."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def submit(
        self,
        series_uid: str,
        *,
        sender: str | None = None,
        passes: int | None = None,
        seed: int | None = None,
        bundle: str | None = None,
    ) -> Job:
        """Queue a job for what has been received of a series.

        The same instances with the same options give the same job, however often they are submitted. None
        takes the value from the settings; `sender` None means whoever sent the series.

        Raises:
            SeriesNotFound: nothing of the series has been received.
        """
        request = JobRequest(
            job_id="",
            series_instance_uid=series_uid,
            bundle=bundle or self._settings.bundle,
            passes=passes or self._settings.passes,
            seed=self._settings.seed if seed is None else seed,
            also=self._settings.also,
        )
        with self._database.write() as session:
            series = session.get(SeriesRecord, series_uid)
            if series is None:
                raise SeriesNotFound
            wanted = self._settings.special_destinations(sender or series.sender)
            request = request.model_copy(update={"destinations": wanted})
            instances = _instances(session, series_uid)
            key = _dedup_key(request, instances)
            existing = session.scalar(select(JobRecord).where(JobRecord.dedup_key == key))
            job = existing or self._make(session, series, instances, request=request, key=key, sender=sender)
            session.flush()
            return job_of(job, self._settings)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: no job has this id.
        """
        with self._database.read() as session:
            return job_of(_found(session, job_id), self._settings)

    def list(self, *, limit: int = 50, cursor: str | None = None, state: JobState | None = None) -> JobPage:
        """Jobs, newest first. `cursor` is the `next_cursor` of the page before.

        Raises:
            ValueError: the cursor is not one of ours.
        """
        query = select(JobRecord).options(selectinload(JobRecord.deliveries))
        query = query.order_by(JobRecord.created_at.desc(), JobRecord.id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(JobRecord.state == state)
        if cursor is not None:
            created_at, _, job_id = cursor.partition("_")
            query = query.where(
                tuple_(JobRecord.created_at, JobRecord.id) < tuple_(float(created_at), job_id)
            )
        with self._database.read() as session:
            records = session.scalars(query).all()
            jobs = tuple(job_of(record, self._settings) for record in records[:limit])
        last = records[limit - 1] if len(records) > limit else None
        return JobPage(jobs=jobs, next_cursor=None if last is None else f"{last.created_at!r}_{last.id}")

    def changes_since(self, version: int, *, limit: int = 200) -> Sequence[Job]:
        """Jobs that changed after a version, in the order of their changes. Start with `version()`."""
        query = select(JobRecord).options(selectinload(JobRecord.deliveries))
        query = query.where(JobRecord.version > version).order_by(JobRecord.version).limit(limit)
        with self._database.read() as session:
            return [job_of(record, self._settings) for record in session.scalars(query)]

    def version(self) -> int:
        """The number of the latest change of any job; 0 before the first."""
        newest = select(JobRecord.version).order_by(JobRecord.version.desc()).limit(1)
        with self._database.read() as session:
            return session.scalar(newest) or 0

    def cancel(self, job_id: str) -> Job:
        """Stop a job. A running one ends `cancelled` within its next pass; a cancelled one stays so.

        Raises:
            JobNotFound: no job has this id.
            StateConflict: the job has ended already.
        """
        with self._database.write() as session:
            record = _found(session, job_id)
            if record.state in ENDED and record.state != "cancelled":
                raise StateConflict(f"The job has ended ({record.state}); there is nothing to cancel.")
            if record.state not in ENDED:
                ask_to_stop(session, record)
        return self.get(job_id)

    def retry(self, job_id: str) -> Job:
        """Queue a job again that did not end well, with its attempts counted anew.

        Raises:
            JobNotFound: no job has this id.
            StateConflict: the job is not `failed`, `cancelled` or `rejected`, or a newer job replaced it.
        """
        with self._database.write() as session:
            record = _found(session, job_id)
            if record.state not in {"failed", "cancelled", "rejected"}:
                raise StateConflict(
                    f"The job is {record.state}; only one that did not succeed can be retried."
                )
            if record.superseded_by is not None:
                raise StateConflict("A newer job replaced this one.", remedy="Retry the newer job.")
            record.attempts, record.cancel_requested, record.reason = 0, False, None
            record.has_result = False
            queue(session, record)
        return self.get(job_id)

    def _make(
        self,
        session: Session,
        series: SeriesRecord,
        instances: Sequence[InstanceRecord],
        **given: Unpack[_Given],
    ) -> JobRecord:
        """Turn the series' receiving job, or a new one, into a queued one, and write its folder.

        The folder is written inside the transaction, so that of two submissions at once each has its own.
        """
        job = receiving_job(session, series.series_uid)
        if job is None:
            job = new_job(series, self._settings, str(uuid.uuid4()))
            session.add(job)
        if series.pending:
            series.pending = False
            series.revision += 1
        request = given["request"].model_copy(update={"job_id": job.id})
        job.dedup_key, job.revision, job.instance_count = given["key"], series.revision, len(instances)
        job.bundle, job.passes, job.seed = request.bundle, request.passes, request.seed
        job.sender = given["sender"] or job.sender
        paths = [self._settings.inbox_dir / instance.path for instance in instances]
        write_job_folder(self._settings.jobs_dir / job.id, request, paths)
        if job.cancel_requested:
            end(session, job, "cancelled", Cancelled().as_reason())
        else:
            queue(session, job)
        session.flush()
        supersede(session, job)
        return job


def _found(session: Session, job_id: str) -> JobRecord:
    record = session.get(JobRecord, job_id)
    if record is None:
        raise JobNotFound
    return record


def _instances(session: Session, series_uid: str) -> Sequence[InstanceRecord]:
    by_uid = (
        select(InstanceRecord).where(InstanceRecord.series_uid == series_uid).order_by(InstanceRecord.sop_uid)
    )
    return session.scalars(by_uid).all()


def _dedup_key(request: JobRequest, instances: Sequence[InstanceRecord]) -> str:
    """SHA-256 over what decides the result: the instances' content and the options."""
    absent = {name for name in ("also", "destinations") if not getattr(request, name)}
    digest = hashlib.sha256(request.model_dump_json(exclude={"job_id", *absent}).encode())
    for instance in instances:
        digest.update(f"\n{instance.sop_uid} {instance.sha256}".encode())
    return digest.hexdigest()
