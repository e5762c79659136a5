"""Jobs as clients handle them: submit, look, cancel, retry, re-run. `service/ledger.py` serves the workers."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import TypedDict, Unpack, cast

from pydicom.uid import RTStructureSetStorage
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from service import audit, ownership
from service.audit import Action
from service.database import Database
from service.idempotency import job_of_key, remember
from service.job import ENDED, Job, JobState, job_of
from service.job_filter import JobFilter
from service.job_page import JobPage, counts_of, page_of
from service.job_wishes import JobWishes, request_of
from service.plan import Plan, Planner
from service.records import InstanceRecord, JobRecord, SeriesRecord
from service.settings import ServiceSettings
from service.transitions import (
    ask_to_stop,
    end,
    new_job,
    queue,
    receiving_job,
    ring,
    set_aside_job,
    supersede,
    touch,
)
from worker.errors import Cancelled, PenumbraError
from worker.job_folder import JobRequest, instances_dir, write_job_folder

FOR_RECOVERY = ("job_id", "sender", "deliver", "deliver_to")
"""Fields of a request that do not decide the result."""


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


class _Given(TypedDict):
    request: JobRequest
    key: str
    wishes: JobWishes
    plan: Plan


class Jobs:
    """The state machine's front: every call is one or two short transactions."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._planner = Planner(settings, database)

    def take_up(self, series_uid: str) -> Job:
        """Queue a job for a series that has gone quiet, or keep it as `not-routed` where no rule matches.

        Raises:
            SeriesNotFound: nothing of the series has been received.
        """
        refusal = self._planner.plan(series_uid).refusal
        if refusal is None:
            return self.submit(series_uid)
        with self._database.write() as session:
            series = session.get(SeriesRecord, series_uid)
            if series is None:
                raise SeriesNotFound
            job = self._take(session, series)
            end(session, job, "not-routed", refusal.as_reason())
            session.flush()
            audit.record(
                session,
                Action.NOT_ROUTED,
                job_id=job.id,
                series_uid=job.series_uid,
                study_uid=job.study_uid,
            )
            supersede(session, job)
            return job_of(job, self._settings)

    def submit(self, series_uid: str, **wishes: Unpack[JobWishes]) -> Job:
        """Queue a job for what has been received of a series.

        The same instances with the same options give the same job, however often they are submitted; the same
        idempotency key gives the same job whatever has changed since. What is not wished for comes from the rule
        that matches, else from the settings.

        Raises:
            SeriesNotFound: nothing of the series has been received.
            KeyReused: the idempotency key was given with another request.
            service.ownership.SeriesOfOthers: the actor may see only their own, and this is not theirs.
        """
        plan = self._planner.plan(series_uid)
        idempotency = wishes.get("idempotency")
        with self._database.write() as session:
            job = None if idempotency is None else job_of_key(session, idempotency)
            if job is None:
                job = self._submit(session, series_uid, plan.completed(wishes), plan)
                if idempotency is not None:
                    remember(session, idempotency, job.id)
            session.flush()
            ownership.note_owner(session, job.id)
            action = Action.RERUN if wishes.get("rerun_of") else Action.SUBMITTED
            audit.record(session, action, **audit.about_job(job))
            return job_of(job, self._settings)

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: no job has this id.
        """
        with self._database.read() as session:
            return job_of(_found(session, job_id), self._settings)

    def is_visible(self, job_id: str) -> bool:
        """Whether whoever acts may know of that job."""
        if not ownership.is_restricted():
            return True
        with self._database.read() as session:
            return ownership.may_see(session, job_id)

    def list(self, *, limit: int = 50, cursor: str | None = None, **wanted: Unpack[JobFilter]) -> JobPage:
        """Jobs, newest first. `cursor` is the `next_cursor` of the page before.

        Raises:
            ValueError: the cursor is not one of ours.
        """
        with self._database.read() as session:
            return page_of(session, self._settings, wanted, limit=limit, cursor=cursor)

    def counts(self, **wanted: Unpack[JobFilter]) -> dict[JobState, int]:
        """State -> how many jobs pass the filter, whatever states it asks for."""
        with self._database.read() as session:
            return counts_of(session, wanted)

    def ids_that_begin(self, beginning: str, *, limit: int = 2) -> Sequence[str]:
        """Some ids that begin with a text: for people, who do not type 36 characters."""
        query = select(JobRecord.id).where(JobRecord.id.startswith(beginning, autoescape=True)).limit(limit)
        with self._database.read() as session:
            return session.scalars(query).all()

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
            if record.state not in ENDED and not record.cancel_requested:
                ask_to_stop(session, record)
                audit.record(session, Action.CANCEL_ASKED, **audit.about_job(record))
        return self.get(job_id)

    def retry(self, job_id: str) -> Job:
        """Queue a job again that did not end well, with its attempts counted anew, or that no rule matched.

        Raises:
            JobNotFound: no job has this id.
            StateConflict: the job is running or done, or a newer job replaced it.
        """
        with self._database.write() as session:
            record = _found(session, job_id)
            if record.state not in ENDED - {"done"}:
                raise StateConflict(
                    f"The job is {record.state}; only one that did not succeed can be retried."
                )
            if record.superseded_by is not None:
                raise StateConflict("A newer job replaced this one.", remedy="Retry the newer job.")
            if record.state != "not-routed":
                if not instances_dir(self._settings.jobs_dir / job_id).is_dir():
                    raise StateConflict(
                        "The series has been deleted, as its time was over.", remedy="Send the series again."
                    )
                record.attempts, record.cancel_requested, record.reason = 0, False, None
                record.has_result = False
                queue(session, record)
                audit.record(session, Action.RETRIED, **audit.about_job(record))
                return job_of(record, self._settings)
        return self.submit(record.series_uid)

    def _take(self, session: Session, series: SeriesRecord) -> JobRecord:
        """The series' job that waits for this, or a new one; what has been received is taken up with it."""
        uid = series.series_uid
        job = receiving_job(session, uid) or set_aside_job(session, uid)
        if job is None:
            job = new_job(series, self._settings, str(uuid.uuid4()))
            session.add(job)
        if series.pending:
            series.pending = False
            series.revision += 1
        job.revision = series.revision
        return job

    def rerun(self, job_id: str, **wishes: Unpack[JobWishes]) -> Job:
        """Queue another job on the series of one, with other options: to compare two bundles, say.

        What is not given is as in that job. The result goes to no node unless `deliver` says so.

        Raises:
            JobNotFound: no job has this id.
            StateConflict: the series is not complete, has changed since, or nothing would be different.
        """
        with self._database.read() as session:
            first = _found(session, job_id)
            series = session.get_one(SeriesRecord, first.series_uid)
            if first.superseded_by is not None:
                raise StateConflict("A newer job replaced this one.", remedy="Re-run the newer job.")
            if first.state == "not-routed":
                raise StateConflict("The job was not routed, so it never ran.", remedy="Retry it instead.")
            if first.state == "receiving" or series.pending:
                raise StateConflict(
                    "The series is still being received.", remedy="Wait until it is complete."
                )
        as_before = JobWishes(
            sender=first.sender,
            bundle=first.bundle,
            passes=first.passes,
            seed=first.seed,
            priority=first.priority,
            deliver=False,
        )
        given = {name: value for name, value in wishes.items() if value is not None}
        job = self.submit(first.series_uid, **cast(JobWishes, {**as_before, **given, "rerun_of": job_id}))
        if job.id == job_id:
            raise StateConflict(
                "A re-run with the same options would give the same result.",
                remedy="Name another bundle, number of passes or seed; a job that did not end well can be retried.",
            )
        return job

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Let a job that waits go earlier or later.

        Raises:
            JobNotFound: no job has this id.
            StateConflict: the job does not wait any more.
        """
        with self._database.write() as session:
            record = _found(session, job_id)
            if record.state not in {"receiving", "queued"}:
                raise StateConflict(
                    f"The job is {record.state}; only one that waits has a place in the queue."
                )
            record.priority = priority
            touch(session, record)
            audit.record(
                session,
                Action.PRIORITY_CHANGED,
                job_id=job_id,
                series_uid=record.series_uid,
                priority=priority,
            )
            if (
                record.state == "queued"
            ):  # the message that is on its way at the old priority finds nothing to do
                ring(session, "segment", record.id)
        return self.get(job_id)

    def _submit(self, session: Session, series_uid: str, wishes: JobWishes, plan: Plan) -> JobRecord:
        series = session.get(SeriesRecord, series_uid)
        if series is None:
            raise SeriesNotFound
        ownership.refuse_series_of_others(session, series, wishes.get("presented"))
        request = request_of(series_uid, wishes, self._settings)
        wanted = self._settings.special_destinations(wishes.get("sender") or series.sender, plan.rule)
        request = request.model_copy(update={"destinations": wanted})
        instances = _instances(session, series_uid)
        if not instances:  # deleted since
            raise SeriesNotFound
        key = dedup_key(request, instances)
        existing = session.scalar(select(JobRecord).where(JobRecord.dedup_key == key))
        given = _Given(request=request, key=key, wishes=wishes, plan=plan)
        return existing or self._make(session, series, instances, **given)

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
        job = self._take(session, series)
        wishes = given["wishes"]
        job.sender = wishes.get("sender") or job.sender
        _note_wishes(job, wishes)
        _follow(job, given["plan"], self._settings)
        told = {"job_id": job.id, "sender": job.sender, "deliver": job.deliver, "deliver_to": job.deliver_to}
        request = given["request"].model_copy(update=told)
        job.dedup_key, job.instance_count, job.reason = given["key"], len(instances), None
        job.bundle, job.passes, job.seed = request.bundle, request.passes, request.seed
        paths = [self._settings.inbox_dir / instance.path for instance in instances]
        write_job_folder(self._settings.jobs_dir / job.id, request, paths)
        if job.cancel_requested:
            end(session, job, "cancelled", Cancelled().as_reason())
        else:
            queue(session, job)
        session.flush()
        supersede(session, job)
        return job


def _note_wishes(job: JobRecord, wishes: JobWishes) -> None:
    priority = wishes.get("priority")
    job.priority = job.priority if priority is None else priority
    job.deliver = wishes.get("deliver", True)
    job.rerun_of = wishes.get("rerun_of")


def _follow(job: JobRecord, plan: Plan, settings: ServiceSettings) -> None:
    """Note what the job's rule says that is not the worker's business."""
    job.rule = plan.name
    nodes = settings.ruled_destinations(job.sender, plan.rule)
    job.deliver_to = None if nodes is None else list(nodes)


def _found(session: Session, job_id: str) -> JobRecord:
    record = session.get(JobRecord, job_id)
    if record is None or not ownership.may_see(session, job_id):
        raise JobNotFound
    return record


def _instances(session: Session, series_uid: str) -> Sequence[InstanceRecord]:
    images = select(InstanceRecord).where(
        InstanceRecord.series_uid == series_uid, InstanceRecord.sop_class_uid != RTStructureSetStorage
    )
    return session.scalars(images.order_by(InstanceRecord.sop_uid)).all()


def dedup_key(request: JobRequest, instances: Sequence[InstanceRecord]) -> str:
    """SHA-256 over what decides the result: the instances' content and the options."""
    absent = {name for name in ("also", "destinations") if not getattr(request, name)}
    digest = hashlib.sha256(request.model_dump_json(exclude={*FOR_RECOVERY, *absent}).encode())
    for instance in instances:
        digest.update(f"\n{instance.sop_uid} {instance.sha256}".encode())
    return digest.hexdigest()
