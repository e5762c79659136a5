"""When the host's clock is set: what was to happen still happens, and nothing happens twice.

Everything that waits is a row with a time (`service/records.py`). A clock that was set back by hours leaves rows from
the future, which would wait as long; one set forward ends the leases of processes that live. The reconciler puts both
right. What only says when something was, the creation of a job say, stays as it was written.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update

from service.commitment import ASKING_S
from service.database import Database
from service.figure_records import WorkerRecord
from service.pull_state import OPEN
from service.records import (
    CommitmentRecord,
    DeliveryRecord,
    JobRecord,
    OutboxRecord,
    PullRecord,
    Record,
    SeriesRecord,
    WebhookRecord,
)
from service.settings import ServiceSettings

TOLERANCE_S: Final = 5.0
"""A clock that is corrected by less, or two hosts that differ by less, need no help."""

log = structlog.get_logger(__name__)


class _Mend(NamedTuple):
    """Rows of a table that are wrong, and what is right."""

    table: type[Record]
    wrong: ColumnElement[bool]
    right: Mapping[str, Any]


class Clock:
    """What the reconciler knows of its host's clock. `now` and `steady` are replaced in tests."""

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        *,
        now: Callable[[], float] | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._now, self._steady = now or time.time, steady
        self._drift = self._now() - steady()

    def follow(self) -> None:
        """If the clock was set forward since this was asked last: leases and quiet periods begin anew."""
        drift = self._now() - self._steady()
        leap_s, self._drift = drift - self._drift, drift
        if leap_s > TOLERANCE_S:
            log.warning("the clock was set forward", seconds=round(leap_s))
            self._mend(_after_a_leap(self._settings, self._now(), leap_s))

    def mend_future(self) -> None:
        """Let nothing wait longer than it may: what lies in the future was written before the clock was set back."""
        self._mend(_from_the_future(self._settings, self._now()))

    def agrees(self) -> bool:
        """Whether the database's host has the same time; where not, this host must not judge leases of others."""
        if self._database.engine.dialect.name != "postgresql":  # it is a file of this host
            return True
        with self._database.read() as session:
            apart = float(session.scalar(select(func.date_part("epoch", func.clock_timestamp()))) or 0)
        apart -= self._now()
        if agrees := abs(apart) < self._settings.lease_s / 2:
            return agrees
        log.error("the clock is not the database's, nothing is released here", seconds=round(apart))
        return False

    def _mend(self, mends: Sequence[_Mend]) -> None:
        with self._database.read() as session:  # nearly always there is nothing, and nobody is kept waiting
            if not session.scalar(select(or_(*(exists().where(mend.wrong) for mend in mends)))):
                return
        with self._database.write() as session:
            for mend in mends:
                session.execute(update(mend.table).where(mend.wrong).values(mend.right))


def _from_the_future(settings: ServiceSettings, now: float) -> list[_Mend]:
    soon = now + TOLERANCE_S
    longest_s = max(settings.delivery_pauses_s)
    asking_s = max(ASKING_S, settings.pacs.commitment_retry_s)
    timeout_s = settings.pacs.commitment_timeout_s
    failed_later = select(DeliveryRecord.id).where(DeliveryRecord.updated_at > soon)
    by_now = {"next_at": now, "updated_at": now}
    return [
        _Mend(
            SeriesRecord,
            and_(SeriesRecord.pending, SeriesRecord.last_received_at > soon),
            {"last_received_at": now},
        ),
        _Mend(  # before the deliveries, by whose times it is known
            OutboxRecord,
            and_(
                OutboxRecord.done_at.is_(None),
                OutboxRecord.not_before > soon,
                or_(
                    OutboxRecord.kind == "segment",
                    OutboxRecord.not_before > soon + longest_s,
                    OutboxRecord.ref.in_(failed_later),
                ),
            ),
            {"not_before": now},
        ),
        _Mend(JobRecord, _is(JobRecord, "queued", JobRecord.enqueued_at > soon), {"enqueued_at": now}),
        _Mend(
            JobRecord,
            _is(JobRecord, "running", JobRecord.lease_until > soon + settings.lease_s),
            {"lease_until": now + settings.lease_s},
        ),
        _Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "waiting", DeliveryRecord.updated_at > soon),
            {"enqueued_at": now, "updated_at": now},
        ),
        _Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "sending", DeliveryRecord.lease_until > soon + settings.delivery_lease_s),
            {"lease_until": now + settings.delivery_lease_s, "updated_at": now},
        ),
        _Mend(PullRecord, and_(PullRecord.state.in_(OPEN), PullRecord.updated_at > soon), by_now),
        _Mend(
            CommitmentRecord,
            _is(CommitmentRecord, "waiting", CommitmentRecord.next_at > soon + asking_s),
            {"next_at": now},
        ),
        _Mend(
            CommitmentRecord,
            and_(
                CommitmentRecord.state.in_(("waiting", "asked")), CommitmentRecord.deadline > soon + timeout_s
            ),
            {"deadline": now + timeout_s},
        ),
        *(_mend_of_webhook(each.name, 3 * each.timeout_s, longest_s, now) for each in settings.webhooks),
        _Mend(WorkerRecord, WorkerRecord.seen_at > soon, {"seen_at": now}),
    ]


def _mend_of_webhook(name: str, lease_s: float, longest_s: float, now: float) -> _Mend:
    soon = now + TOLERANCE_S
    is_late = or_(WebhookRecord.lease_until > soon + lease_s, WebhookRecord.not_before > soon + longest_s)
    return _Mend(
        WebhookRecord, and_(WebhookRecord.name == name, is_late), {"lease_until": None, "not_before": None}
    )


def _after_a_leap(settings: ServiceSettings, now: float, leap_s: float) -> list[_Mend]:
    before = now - leap_s - TOLERANCE_S
    lease_s, delivery_s, pull_s = settings.lease_s, settings.delivery_lease_s, settings.pacs.pull_lease_s
    return [
        _Mend(
            SeriesRecord,
            and_(
                SeriesRecord.pending,
                SeriesRecord.last_received_at.between(before - settings.quiet_period_s, now - TOLERANCE_S),
            ),
            {"last_received_at": now},
        ),
        _Mend(
            JobRecord,
            _is(JobRecord, "running", JobRecord.lease_until.between(before, now)),
            {"lease_until": now + lease_s},
        ),
        _Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "sending", DeliveryRecord.lease_until.between(before, now)),
            {"lease_until": now + delivery_s},
        ),
        _Mend(
            PullRecord,
            _is(PullRecord, "running", PullRecord.next_at.between(before, now)),
            {"next_at": now + pull_s},
        ),
    ]


def _is(
    table: type[JobRecord | DeliveryRecord | PullRecord | CommitmentRecord],
    state: str,
    also: ColumnElement[bool],
) -> ColumnElement[bool]:
    return and_(table.state == state, also)
