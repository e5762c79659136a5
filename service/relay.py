"""Carries the outbox to the broker, after commit and apart from whoever wrote it.

A message may go out twice (a crash between sending and noting it): the claim makes that harmless. It is never
forgotten: a row is done only after the broker took it.
"""

import threading
import time
from collections.abc import Sequence

import structlog
from celery import Celery
from kombu.exceptions import OperationalError as BrokerUnavailable
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.database import Database
from service.priority import MOST_URGENT
from service.records import DeliveryRecord, JobRecord, OutboxRecord
from service.settings import ServiceSettings
from worker.celery_app import DELIVER_TASK, DELIVERY_QUEUE, GPU_QUEUE, SEGMENT_TASK

BATCH = 50
BROKER_PAUSE_S = 1.0
ROUTES = {"segment": (SEGMENT_TASK, GPU_QUEUE), "deliver": (DELIVER_TASK, DELIVERY_QUEUE)}

log = structlog.get_logger(__name__)


class Relay:
    """Publishes what is due."""

    def __init__(self, settings: ServiceSettings, database: Database, app: Celery) -> None:
        self._settings = settings
        self._database = database
        self._app = app

    def run(self, stop: threading.Event) -> None:
        """Publish until asked to stop. While broker or database are away, what is due waits."""
        while not stop.wait(self._settings.relay_s):
            try:
                reached = self.publish_due()
            except SQLAlchemyError as error:
                log.error("outbox not read", cause=type(error).__name__)
                reached = False
            if not reached:
                stop.wait(BROKER_PAUSE_S)

    def publish_due(self) -> bool:
        """Publish one batch. False if the broker could not be reached."""
        now = time.time()
        query = select(OutboxRecord).where(OutboxRecord.done_at.is_(None), OutboxRecord.not_before <= now)
        with self._database.read() as session:
            due = session.scalars(query.order_by(OutboxRecord.id).limit(BATCH)).all()
            priorities = _priorities(session, due)
        sent = []
        try:
            for row in due:
                task, queue = ROUTES[row.kind]
                self._app.send_task(
                    task,
                    args=[row.ref],
                    queue=queue,
                    priority=priorities.get(row.ref, MOST_URGENT),
                    retry=False,
                    ignore_result=True,
                )
                sent.append(row)
        except (BrokerUnavailable, OSError) as error:
            log.warning("broker unavailable", cause=type(error).__name__, waiting=len(due) - len(sent))
        if sent:
            self._note(sent)
        return len(sent) == len(due)

    def _note(self, sent: Sequence[OutboxRecord]) -> None:
        now = time.time()
        jobs = [row.ref for row in sent if row.kind == "segment"]
        deliveries = [row.ref for row in sent if row.kind == "deliver"]
        with self._database.write() as session:
            session.execute(
                update(OutboxRecord).where(OutboxRecord.id.in_([row.id for row in sent])).values(done_at=now)
            )
            session.execute(
                update(JobRecord)
                .where(JobRecord.id.in_(jobs))
                .values(enqueued_at=now, enqueue_count=JobRecord.enqueue_count + 1)
            )
            session.execute(
                update(DeliveryRecord).where(DeliveryRecord.id.in_(deliveries)).values(enqueued_at=now)
            )


def _priorities(session: Session, due: Sequence[OutboxRecord]) -> dict[str, int]:
    """Priority by job; deliveries have none."""
    jobs = [row.ref for row in due if row.kind == "segment"]
    found = session.execute(select(JobRecord.id, JobRecord.priority).where(JobRecord.id.in_(jobs)))
    return {row.id: row.priority for row in found}
