"""Brings a database and a data folder together that do not belong to the same moment.

After a database was restored, the data folder knows of more than the database: instances received since, jobs made
since, results published since. All of it is taken up; nothing is run twice that has a result, and workers
that still hold a claim of the time before are refused by a fence far ahead.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service import audit
from service.audit import Action
from service.database import Database
from service.instance_header import NotAnImage, read_header
from service.instance_register import Arrival, InstanceRegister
from service.job import ENDED
from service.jobs import dedup_key
from service.ledger import recipients, release
from service.records import (
    ChangeCounter,
    DeliveryRecord,
    InstanceRecord,
    JobRecord,
    OutboxRecord,
    SeriesRecord,
)
from service.settings import ServiceSettings
from service.transitions import deliver, end, new_job, receiving_job, ring, supersede
from worker.errors import PenumbraError
from worker.job_folder import (
    RESULT_NAME,
    JobRequest,
    instances_dir,
    published_dir,
    read_request,
    request_path,
)

FENCE_AHEAD = 1_000_000  # further than any claim that a worker may still hold
VERSION_AHEAD = 1_000_000  # so that those who follow changes see them

log = structlog.get_logger(__name__)


@dataclass
class Recovered:
    """What was found beside the database, and what is missing."""

    instances: int = 0
    jobs: int = 0
    results: int = 0
    requeued: int = 0
    missing_files: int = 0
    """Instances that the database names and the disk has not."""


class Recovery:
    """Run it while nothing else runs."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._found = Recovered()

    def run(self) -> Recovered:
        """Take up what the data folder knows, void all claims, queue what is unfinished."""
        folders = self._unknown_folders()
        senders = {request.series_instance_uid: request.sender for _, request in folders}
        self._take_up_instances(senders)
        for folder, request in folders:
            self._take_up_job(folder, request)
        self._found.missing_files = self._count_missing()  # takes long, and a write must not fall silent
        with self._database.write() as session:
            self._take_up_results(session)
            self._void_claims(session)
            audit.record(session, Action.RESTORED, **vars(self._found))
        log.info("recovered", count=self._found.jobs, instances=self._found.instances)
        return self._found

    def _unknown_folders(self) -> list[tuple[Path, JobRequest]]:
        """Job folders without a row, the oldest first. One without a request was never told of."""
        found = []
        with self._database.read() as session:
            for folder in self._settings.jobs_dir.glob("*-*-*-*-*"):
                if session.get(JobRecord, folder.name) is None:
                    try:
                        found.append((folder, read_request(folder)))
                    except (OSError, ValidationError):
                        continue
        return sorted(found, key=lambda each: request_path(each[0]).stat().st_mtime)

    def _take_up_instances(self, senders: dict[str, str]) -> None:
        """Register files of the inbox that have no row."""
        register = InstanceRegister(self._settings, self._database)
        with self._database.read() as session:
            known = set(session.scalars(select(InstanceRecord.path)))
            told = {series.series_uid: series.sender for series in session.scalars(select(SeriesRecord))}
        for path in sorted(self._settings.inbox_dir.glob("*/*.dcm"), key=lambda each: each.stat().st_mtime):
            name = path.relative_to(self._settings.inbox_dir).as_posix()
            if name in known:
                continue
            try:
                header = read_header(path.read_bytes())
            except PenumbraError:
                log.warning("instance not taken up", sha256=path.stem)
                continue
            sender = told.get(header.series_uid) or senders.get(header.series_uid, "")
            arrival = Arrival(
                header=header,
                path=name,
                size_bytes=path.stat().st_size,
                sender=sender,
                source="dicom",
            )
            if register.add(arrival) is None:
                self._found.instances += 1

    def _take_up_job(self, folder: Path, request: JobRequest) -> None:
        """Make the row of a job again; whether it has a result is looked at afterwards."""
        uids = _instances_of(folder)
        with self._database.write() as session:
            series = session.get(SeriesRecord, request.series_instance_uid)
            if series is None or not uids:
                return
            rows = session.scalars(
                select(InstanceRecord)
                .where(InstanceRecord.sop_uid.in_(uids))
                .order_by(InstanceRecord.sop_uid)
            ).all()
            key = dedup_key(request, rows)
            if session.scalar(select(JobRecord.id).where(JobRecord.dedup_key == key)) is not None:
                return  # the same job was made again since
            if len(rows) > _most_slices(session, series.series_uid):  # a re-run is of the same revision
                series.revision += 1
            job = new_job(series, self._settings, folder.name)
            job.dedup_key, job.revision, job.instance_count = key, series.revision, len(rows)
            job.bundle, job.passes, job.seed = request.bundle, request.passes, request.seed
            job.sender, job.deliver = request.sender or series.sender, request.deliver
            job.deliver_to = None if request.deliver_to is None else list(request.deliver_to)
            job.created_at = job.updated_at = request_path(folder).stat().st_mtime
            job.state, job.stage = "queued", ""
            session.add(job)
            waiting = receiving_job(session, series.series_uid)
            if len(rows) == series.instance_count:
                series.pending = False
                if waiting is not None:
                    session.delete(waiting)
            session.flush()
            supersede(session, job)
        self._found.jobs += 1

    def _take_up_results(self, session: Session) -> None:
        """A result that was published after the database's moment ends its job as it did then."""
        for job in session.scalars(select(JobRecord).where(JobRecord.state.not_in(sorted(ENDED)))):
            path = published_dir(self._settings.jobs_dir / job.id) / RESULT_NAME
            if not path.is_file() or path.stat().st_mtime <= job.updated_at:
                continue
            document = json.loads(path.read_bytes())
            state = document.get("state")
            if state not in ENDED:
                continue
            job.has_result = True
            end(session, job, state, document.get("reason"))
            if state == "done" and job.deliver:
                deliver(session, job, recipients(job, self._settings))
            self._found.results += 1

    def _void_claims(self, session: Session) -> None:
        """Nobody holds anything; what is unfinished is announced anew."""
        session.execute(update(ChangeCounter).values(value=ChangeCounter.value + VERSION_AHEAD))
        session.execute(update(JobRecord).values(fence=JobRecord.fence + FENCE_AHEAD))
        session.execute(update(DeliveryRecord).values(fence=DeliveryRecord.fence + FENCE_AHEAD))
        session.execute(
            update(OutboxRecord).where(OutboxRecord.done_at.is_(None)).values(done_at=time.time())
        )
        for job in session.scalars(select(JobRecord).where(JobRecord.state.in_(("queued", "running")))):
            job.attempts = 0
            release(session, job, self._settings)
            self._found.requeued += job.state == "queued"
        for delivery in session.scalars(
            select(DeliveryRecord).where(DeliveryRecord.state.in_(("waiting", "sending")))
        ):
            delivery.state, delivery.lease_until, delivery.enqueued_at = "waiting", None, None
            ring(session, "deliver", delivery.id)

    def _count_missing(self) -> int:
        with self._database.read() as session:
            paths = session.scalars(select(InstanceRecord.path)).all()
        return sum(not (self._settings.inbox_dir / path).is_file() for path in paths)


def _most_slices(session: Session, series_uid: str) -> int:
    """Of the jobs that took up a state of the series; a series only grows."""
    jobs = select(func.max(JobRecord.instance_count)).where(
        JobRecord.series_uid == series_uid, JobRecord.state != "receiving"
    )
    return session.scalar(jobs) or 0


def _instances_of(folder: Path) -> list[str]:
    """SOP Instance UIDs of a job's instances."""
    found = []
    for path in sorted(instances_dir(folder).glob("*.dcm")):
        try:
            found.append(read_header(path.read_bytes()).sop_uid)
        except NotAnImage:
            continue
    return found
