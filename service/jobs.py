"""Jobs as clients handle them: submit, look, cancel, retry. `service/ledger.py` serves the workers."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.exc import IntegrityError
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

SUBMIT_TRIES = 20


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
        )
        for _ in range(SUBMIT_TRIES):
            job_id = self._submit_once(request, sender)
            if job_id is not None:
                return self.get(job_id)
        raise StateConflict(
            f"Series {series_uid} is still being received.", remedy="Try again when it is whole."
        )

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

    def _submit_once(self, request: JobRequest, sender: str | None) -> str | None:
        """The job's id, or None when an instance came in meanwhile and it must be done again."""
        with self._database.read() as session:
            if session.get(SeriesRecord, request.series_instance_uid) is None:
                raise SeriesNotFound
            instances = _instances(session, request.series_instance_uid)
            key = _dedup_key(request, instances)
            existing = session.scalar(select(JobRecord.id).where(JobRecord.dedup_key == key))
            receiving = receiving_job(session, request.series_instance_uid)
        if existing is not None:
            return existing
        request = request.model_copy(update={"job_id": receiving.id if receiving else str(uuid.uuid4())})
        folder = self._settings.jobs_dir / request.job_id
        write_job_folder(folder, request, [self._settings.inbox_dir / each.path for each in instances])
        try:
            with self._database.write() as session:
                return self._record(session, request, key=key, instance_count=len(instances), sender=sender)
        except IntegrityError:  # the same submission won elsewhere; the next try finds it
            return None

    def _record(
        self, session: Session, request: JobRequest, *, key: str, instance_count: int, sender: str | None
    ) -> str | None:
        series = session.get_one(SeriesRecord, request.series_instance_uid)
        job = receiving_job(session, series.series_uid) or new_job(series, self._settings, request.job_id)
        if series.instance_count != instance_count or job.id != request.job_id:
            return None
        if series.pending:
            series.pending = False
            series.revision += 1
        job.dedup_key, job.revision, job.instance_count = key, series.revision, instance_count
        job.bundle, job.passes, job.seed = request.bundle, request.passes, request.seed
        job.passes_total = 0
        job.sender = sender or job.sender
        session.add(job)
        if job.cancel_requested:
            end(session, job, "cancelled", Cancelled().as_reason())
        else:
            queue(session, job)
        session.flush()
        supersede(session, job)
        return job.id


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
    digest = hashlib.sha256(request.model_dump_json(exclude={"job_id"}).encode())
    for instance in instances:
        digest.update(f"\n{instance.sop_uid} {instance.sha256}".encode())
    return digest.hexdigest()
