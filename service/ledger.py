"""The book of jobs and deliveries as a worker sees it, on the database (`worker/ledger.py` has the protocol).

A claim is one UPDATE that hands out a lease and a fence; every later write names the fence.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service.commitment_record import begin
from service.database import Database
from service.delivery_steps import note_failure, note_sent
from service.figures import note_delivery, note_result
from service.records import DeliveryRecord, JobRecord
from service.settings import ServiceSettings
from service.transitions import deliver, end, next_version, note_state, queue
from worker.errors import Cancelled, WorkerLost
from worker.job_folder import (
    RESULT_NAME,
    RTSTRUCT_NAME,
    files_for,
    publish_attempt,
    published_dir,
    remove_attempts,
)
from worker.ledger import (
    Claim,
    DeliveryClaim,
    LeaseLost,
    LedgerUnavailable,
    Outcome,
    ProgressReport,
    Sent,
)


class SqlLedger:
    """`worker.ledger.Ledger` and `DeliveryLedger` on SQLAlchemy."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def claim(self, job_id: str, worker: str) -> Claim | None:
        """Take a queued job, one whose lease has run out, or one that this worker's dead child had."""
        now = time.time()
        with self._transaction() as session:
            fence = session.scalar(
                update(JobRecord)
                .where(
                    JobRecord.id == job_id,
                    JobRecord.attempts < self._settings.max_attempts,
                    JobRecord.cancel_requested.is_(False),
                    # A worker runs one task at a time: what it holds when it asks is its dead child's.
                    or_(
                        JobRecord.state == "queued",
                        and_(
                            JobRecord.state == "running",
                            or_(JobRecord.lease_until < now, JobRecord.worker == worker),
                        ),
                    ),
                )
                .values(
                    state="running",
                    fence=JobRecord.fence + 1,
                    attempts=JobRecord.attempts + 1,
                    lease_until=now + self._settings.lease_s,
                    started_at=now,
                    worker=worker,
                    stage="starting",
                    version=next_version(session),
                    updated_at=now,
                )
                .returning(JobRecord.fence)
            )
            if fence is not None:
                note_state(session, job_id, "running")
        if fence is None:
            return None
        return Claim(job_id=job_id, fence=fence, folder=self._settings.jobs_dir / job_id)

    def renew(self, claim: Claim, progress: ProgressReport) -> None:
        """Prolong the lease and write the progress down.

        Raises:
            LeaseLost: the claim is void.
            Cancelled: somebody asked the job to stop.
        """
        now = time.time()
        with self._transaction() as session:
            cancel_requested = session.scalar(
                update(JobRecord)
                .where(*_held(claim))
                .values(
                    lease_until=now + self._settings.lease_s,
                    stage=progress.stage,
                    structure=progress.structure,
                    passes_done=progress.passes_done,
                    passes_total=progress.passes_total,
                    percent=progress.percent,
                    version=next_version(session),
                    updated_at=now,
                )
                .returning(JobRecord.cancel_requested)
            )
        if cancel_requested is None:
            raise LeaseLost
        if cancel_requested:
            raise Cancelled

    def publish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the job: rename the attempt to `result/`, set the state, begin the deliveries.

        The rename happens under the job's lock and before the commit. A crash between the two leaves a
        `result/` that nobody has been told of; the next attempt replaces it.
        """
        with self._transaction() as session:
            job = session.scalar(select(JobRecord).where(*_held(claim)))
            if job is None:
                return False
            if job.cancel_requested:
                outcome = Outcome("cancelled", job.reason or Cancelled().as_reason())
            job.has_result = publish_attempt(claim.folder, claim.fence, state=outcome.state) is not None
            end(session, job, outcome.state, outcome.reason)
            if outcome.state == "done":
                note_result(session, job, published_dir(claim.folder) / RESULT_NAME)
            if outcome.state == "done" and job.deliver:
                deliver(session, job, recipients(job, self._settings))
        remove_attempts(claim.folder)
        return True

    def abandon(self, worker: str, *, count_attempt: bool) -> int:
        """Queue again what a worker held that runs no more. Returns how many jobs.

        `count_attempt` False is for a worker that was stopped on purpose: that is not the job's fault.
        """
        held = select(JobRecord).where(JobRecord.state == "running", JobRecord.worker == worker)
        with self._transaction() as session:
            jobs = session.scalars(held).all()
            for job in jobs:
                job.fence += 1
                job.attempts -= 0 if count_attempt else 1
                release(session, job, self._settings)
        return len(jobs)

    def claim_delivery(self, delivery_id: str, worker: str) -> DeliveryClaim | None:
        """Take a waiting delivery, or one whose lease has run out."""
        now = time.time()
        with self._transaction() as session:
            taken = session.execute(
                update(DeliveryRecord)
                .where(
                    DeliveryRecord.id == delivery_id,
                    or_(
                        DeliveryRecord.state == "waiting",
                        and_(DeliveryRecord.state == "sending", DeliveryRecord.lease_until < now),
                    ),
                )
                .values(
                    state="sending",
                    fence=DeliveryRecord.fence + 1,
                    attempts=DeliveryRecord.attempts + 1,
                    lease_until=now + self._settings.delivery_lease_s,
                    worker=worker,
                    updated_at=now,
                )
                .returning(
                    DeliveryRecord.fence,
                    DeliveryRecord.job_id,
                    func.coalesce(DeliveryRecord.target, DeliveryRecord.node),
                )
            ).one_or_none()
        if taken is None:
            return None
        return self._delivery_claim(delivery_id, *cast(tuple[int, str, str], taken))

    def delivered(self, claim: DeliveryClaim, sent: Sequence[Sent] = ()) -> bool:
        """The node has what matters."""
        with self._held_delivery(claim) as delivery:
            if delivery is not None:
                note_sent(delivery, sent)
                begin(delivery, self._settings)
        return delivery is not None

    def undelivered(self, claim: DeliveryClaim, error: str) -> bool:
        """The node did not take it: wait and try again, turn to a fallback, or give up."""
        with self._held_delivery(claim) as delivery:
            if delivery is not None:
                note_failure(delivery, error, self._settings)
        return delivery is not None

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with self._database.write() as session:
                yield session
        except OperationalError as error:
            raise LedgerUnavailable from error

    def _delivery_claim(
        self, delivery_id: str, fence: int, job_id: str, ae_title: str
    ) -> DeliveryClaim | None:
        node = self._settings.node(ae_title)
        claim = DeliveryClaim(
            delivery_id=delivery_id,
            job_id=job_id,
            fence=fence,
            files=_files(self._settings.jobs_dir / job_id, ae_title),
            ae_title=ae_title,
            host=node.host if node else "",
            port=node.port if node else 0,
            calling_ae=self._settings.ae_title,
            tls=self._settings.client_tls(node) if node else None,
        )
        if node is None:
            self.undelivered(claim, f"No node {ae_title} is defined in the settings.")
            return None
        return claim

    @contextmanager
    def _held_delivery(self, claim: DeliveryClaim) -> Iterator[DeliveryRecord | None]:
        """The delivery while the claim holds, to be ended; None where the claim is void."""
        with self._transaction() as session:
            delivery = session.scalar(
                select(DeliveryRecord).where(
                    DeliveryRecord.id == claim.delivery_id,
                    DeliveryRecord.fence == claim.fence,
                    DeliveryRecord.state == "sending",
                )
            )
            yield delivery
            if delivery is not None:
                note_delivery(session, delivery, taken=delivery.state == "delivered")
                _touch_job(session, delivery)


def recipients(job: JobRecord, settings: ServiceSettings) -> tuple[str, ...]:
    """Nodes that get the result: those of its rule, else those of its sender."""
    named = job.deliver_to
    return settings.destinations(job.sender) if named is None else tuple(named)


def release(session: Session, job: JobRecord, settings: ServiceSettings) -> None:
    """A job whose worker is gone: queued again, cancelled if that was asked, or given up after too many."""
    if job.cancel_requested:
        end(session, job, "cancelled", job.reason or Cancelled().as_reason())
    elif job.attempts >= settings.max_attempts:
        end(session, job, "failed", WorkerLost().as_reason())
    else:
        queue(session, job)


def _files(folder: Path, ae_title: str) -> tuple[Path, ...]:
    """What a node gets; a folder that is gone is found missing when it is sent, and said then."""
    try:
        return files_for(folder, ae_title)
    except OSError:
        return (published_dir(folder) / RTSTRUCT_NAME,)


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return JobRecord.id == claim.job_id, JobRecord.fence == claim.fence, JobRecord.state == "running"


def _touch_job(session: Session, delivery: DeliveryRecord) -> None:
    delivery.updated_at = time.time()
    session.execute(
        update(JobRecord).where(JobRecord.id == delivery.job_id).values(version=next_version(session))
    )
