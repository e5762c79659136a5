"""Carries changes of jobs to webhooks: in their order, each until it was taken, none forgotten.

A change is a row written in the transaction that makes it (`service/transitions.py:note_state`): an outbox in which
every receiver has a place. It moves on only after the receiver said 2xx, so a crash in between repeats a message and
loses none. Several hosts may run couriers: a lease lets one at a time serve a receiver.
"""

import threading
import time
from dataclasses import dataclass
from typing import Final

import httpx
import structlog
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.background import start_background
from service.database import Database
from service.records import JobEventRecord, JobRecord, WebhookRecord
from service.settings import ServiceSettings
from service.webhook_message import WebhookMessage, announcement
from service.webhook_settings import WebhookSettings

LOOK_EVERY_S: Final = 0.5
KEPT_S: Final = 7 * 24 * 3600.0
"""What a receiver has not taken for so long is skipped, and said so. Afterwards the reconciler deletes it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Due:
    """The next message for a receiver."""

    event_id: int
    is_too_old: bool
    message: WebhookMessage


class Courier:
    """Serves one receiver."""

    def __init__(self, settings: ServiceSettings, database: Database, webhook: WebhookSettings) -> None:
        self._pauses_s = settings.delivery_pauses_s
        self._database = database
        self._webhook = webhook

    def work(self) -> None:
        """Deliver what is due, until something is not taken."""
        while self.deliver_next():
            pass

    def deliver_next(self) -> bool:
        """Deliver one message. False if none is due, or it was not taken."""
        if not self._has_news():
            return False
        with self._database.write() as session:
            due = self._claim(session)
        if due is None:
            return False
        error = None if due.is_too_old else post(self._webhook, due.message)
        with self._database.write() as session:
            self._note(session, due, error)
        return error is None

    def _has_news(self) -> bool:
        """Asked without the writers' lock, since the answer is nearly always no."""
        with self._database.read() as session:
            row = session.get(WebhookRecord, self._webhook.name)
            return row is None or (_is_free(row) and session.scalar(self._next(row)) is not None)

    def _claim(self, session: Session) -> _Due | None:
        row = session.get(WebhookRecord, self._webhook.name)
        if row is None:  # a new receiver hears of what happens from now on
            newest = session.scalar(select(func.max(JobEventRecord.id))) or 0
            session.add(WebhookRecord(name=self._webhook.name, last_event_id=newest, attempts=0, skipped=0))
            return None
        event = session.scalars(self._next(row)).first()
        if event is None or not _is_free(row):
            return None
        row.lease_until = time.time() + 3 * self._webhook.timeout_s
        return _Due(
            event_id=event.id,
            is_too_old=event.at < time.time() - KEPT_S,
            message=announcement(event, session.get(JobRecord, event.job_id)),
        )

    def _next(self, row: WebhookRecord) -> Select[JobEventRecord]:
        return waiting(self._webhook, row).order_by(JobEventRecord.id).limit(1)

    def _note(self, session: Session, due: _Due, error: str | None) -> None:
        row = session.get_one(WebhookRecord, self._webhook.name)
        row.lease_until = None
        if error is not None:
            row.attempts += 1
            row.last_error = error
            row.not_before = time.time() + self._pauses_s[min(row.attempts, len(self._pauses_s)) - 1]
            log.warning("webhook not taken", node=self._webhook.name, attempts=row.attempts)
            return
        row.last_event_id = max(row.last_event_id, due.event_id)
        row.attempts, row.not_before = 0, None
        if due.is_too_old:
            row.skipped += 1
            log.error("webhook gave a change up", node=self._webhook.name, count=row.skipped)
        else:
            row.last_error = None


def waiting(webhook: WebhookSettings, row: WebhookRecord) -> Select[JobEventRecord]:
    """The changes that this receiver has not taken yet."""
    query = select(JobEventRecord).where(JobEventRecord.id > row.last_event_id)
    return query if webhook.states is None else query.where(JobEventRecord.state.in_(webhook.states))


def post(webhook: WebhookSettings, message: WebhookMessage) -> str | None:
    """Send a message once. Returns why it was not taken, without the answer's text; None if it was."""
    try:
        secret = webhook.secret()
    except (OSError, ValueError) as error:
        return f"The secret cannot be read ({type(error).__name__}); nothing was sent."
    try:
        answer = httpx.post(
            webhook.url,
            content=message.body,
            headers=message.headers(secret),
            timeout=webhook.timeout_s,
            follow_redirects=False,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"No answer ({type(error).__name__})."
    return None if answer.is_success else f"The answer was {answer.status_code}."


def start_couriers(settings: ServiceSettings, database: Database, stop: threading.Event) -> None:
    """A thread per receiver, so that a slow one keeps no other waiting. They end with the process."""
    for webhook in settings.webhooks:
        work = Courier(settings, database, webhook).work
        start_background(f"webhook {webhook.name}", work, stop, every_s=LOOK_EVERY_S)


def _is_free(row: WebhookRecord) -> bool:
    now = time.time()
    return (row.not_before or 0) <= now and (row.lease_until or 0) <= now
