"""Looks every few seconds for what got lost, and puts it right: the reason why nothing waits for ever.

A process of its own, with the relay as a thread: a broker that hangs can then stop neither intake nor
answers, and several hosts may run one each, since every step is a conditional change in the database.
"""

import threading
import time

import structlog
from sqlalchemy import ColumnElement, and_, delete, exists, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service import audit_process
from service.audit_anchor import Anchor
from service.clock import Clock
from service.courier import KEPT_S, start_couriers
from service.database import Database, open_database
from service.delivery_steps import note_failure
from service.errands import start_errands
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import release
from service.records import DeliveryRecord, JobEventRecord, JobRecord, OutboxRecord
from service.relay import Relay
from service.retention import Retention
from service.settings import ServiceSettings
from service.transitions import ring
from worker.celery_app import create_celery
from worker.errors import PenumbraError

OUTBOX_KEPT_S = 24 * 3600.0
EVENTS_KEPT_S = KEPT_S + 24 * 3600.0  # until every webhook has taken or skipped them
DOUBLINGS = 4  # a long queue is announced ever more seldom, up to 16 times `resend_s`
QUIET_CHECK_S = 0.5

log = structlog.get_logger(__name__)


class Reconciler:
    """One sweep at a time."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._inbox = Inbox(settings, database)
        self._jobs = Jobs(settings, database)
        self._retention = Retention(settings, database)
        self._anchor = Anchor(settings, database)
        self._clock = Clock(settings, database)
        self._next_sweep, self._agrees = 0.0, False

    def run(self, stop: threading.Event) -> None:
        """Sweep until asked to stop. Quiet series are looked for more often than losses."""
        while not stop.is_set():
            try:
                self.step()
            except (SQLAlchemyError, OSError) as error:
                log.error("sweep failed", cause=type(error).__name__)
                stop.wait(self._settings.sweep_s)
            stop.wait(min(QUIET_CHECK_S, self._settings.sweep_s))

    def step(self) -> None:
        """Do what is due; nothing by a clock that is not the others', and nothing is deleted by one far ahead."""
        is_time = time.monotonic() >= self._next_sweep
        if is_time:
            self._next_sweep = time.monotonic() + self._settings.sweep_s
            self._agrees = False  # unless the database says so
            self._agrees = self._clock.agrees()
        if not (self._agrees and self._clock.follow()):
            return
        self.submit_quiet_series()
        if is_time:
            self.sweep()
        if not self._clock.is_far_ahead():
            self._retention.sweep_if_due()

    def sweep(self) -> None:
        """Void leases, messages that never arrived, old outbox rows."""
        self._clock.mend_future()
        self.release_expired()
        self.announce_again()
        self._anchor.note_if_due()
        with self._database.write() as session:
            session.execute(delete(OutboxRecord).where(OutboxRecord.done_at < time.time() - OUTBOX_KEPT_S))
            session.execute(delete(JobEventRecord).where(JobEventRecord.at < time.time() - EVENTS_KEPT_S))

    def submit_quiet_series(self) -> None:
        """Take up every series that has gone quiet. Whether it is whole, the worker's guard decides."""
        for series in self._inbox.quiet_series():
            try:
                job = self._jobs.take_up(series.series_instance_uid)
            except PenumbraError as error:
                log.warning("series not submitted", cause=error.code)
            else:
                log.info(
                    "series not routed" if job.state == "not-routed" else "series submitted",
                    job_id=job.id,
                    series_instance_uid=job.series_instance_uid,
                    instances=series.instance_count,
                )

    def release_expired(self) -> None:
        """Jobs and deliveries whose worker has not renewed its lease."""
        now = time.time()
        with self._database.read() as session:
            lost_job = exists().where(JobRecord.state == "running", JobRecord.lease_until < now)
            lost_delivery = exists().where(
                DeliveryRecord.state == "sending", DeliveryRecord.lease_until < now
            )
            if not session.scalar(select(or_(lost_job, lost_delivery))):
                return
        with self._database.write() as session:
            self._release_jobs(session, now)
            self._release_deliveries(session, now)

    def announce_again(self) -> None:
        """Queued jobs and waiting deliveries that no worker took: the message may be lost."""
        now = time.time()
        with self._database.write() as session:
            for job in session.scalars(
                select(JobRecord).where(JobRecord.state == "queued", ~_announced("segment"))
            ):
                told_at = job.enqueued_at or job.updated_at
                pause_s = self._settings.resend_s * 2 ** min(max(job.enqueue_count - 1, 0), DOUBLINGS)
                if told_at < now - pause_s:
                    log.info("job announced again", job_id=job.id, enqueue_count=job.enqueue_count)
                    ring(session, "segment", job.id)
            waiting = select(DeliveryRecord).where(
                DeliveryRecord.state == "waiting",
                ~_announced("deliver"),
                or_(
                    DeliveryRecord.enqueued_at < now - self._settings.resend_s,
                    and_(
                        DeliveryRecord.enqueued_at.is_(None),
                        DeliveryRecord.updated_at < now - self._settings.resend_s,
                    ),
                ),
            )
            for delivery in session.scalars(waiting):
                ring(session, "deliver", delivery.id)

    def _release_jobs(self, session: Session, now: float) -> None:
        lost = select(JobRecord).where(JobRecord.state == "running", JobRecord.lease_until < now)
        for job in session.scalars(lost):
            release(session, job, self._settings)
            log.warning(
                "worker lost", job_id=job.id, worker=job.worker, attempts=job.attempts, state=job.state
            )

    def _release_deliveries(self, session: Session, now: float) -> None:
        lost = select(DeliveryRecord).where(
            DeliveryRecord.state == "sending", DeliveryRecord.lease_until < now
        )
        for delivery in session.scalars(lost):
            delivery.lease_until = None
            note_failure(delivery, "The delivery worker was lost.", self._settings)


def run_reconciler(settings: ServiceSettings) -> None:
    """Run reconciler and relay until the process is told to end."""
    from service.signals import stop_on_signal

    stop = threading.Event()
    stop_on_signal(stop)
    database = open_database(settings)
    relay = Relay(settings, database, create_celery(settings))
    thread = threading.Thread(target=_run_relay, args=(relay, stop), name="relay", daemon=True)
    thread.start()
    start_couriers(settings, database, stop)
    start_errands(settings, database, stop)
    with audit_process.noted(database, "reconciler"):
        Reconciler(settings, database).run(stop)
    thread.join(timeout=settings.relay_s + 1)


def _run_relay(relay: Relay, stop: threading.Event) -> None:
    try:
        relay.run(stop)
    finally:
        stop.set()  # without the relay the process is of no use: end, and be started again


def _announced(kind: str) -> ColumnElement[bool]:
    table = JobRecord if kind == "segment" else DeliveryRecord
    return exists().where(
        OutboxRecord.kind == kind, OutboxRecord.ref == table.id, OutboxRecord.done_at.is_(None)
    )
