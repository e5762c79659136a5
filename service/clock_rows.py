"""Rows whose times are wrong after a host's clock was set, and what is right for them (`service/clock.py`)."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select

from service.commitment import ASKING_S
from service.figure_records import WorkerRecord
from service.pacs_settings import PacsSettings
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
"""A clock that is corrected by less needs no help."""


class Mend(NamedTuple):
    """Rows of a table that are wrong, and what is right."""

    table: type[Record]
    wrong: ColumnElement[bool]
    right: Mapping[str, Any]


def from_the_future(settings: ServiceSettings, now: float, *, apart_s: float = 0.0) -> list[Mend]:
    """What was written before the clock was set back. Hosts that write may differ by `apart_s` seconds."""
    soon = now + TOLERANCE_S + apart_s
    longest_s = max(settings.delivery_pauses_s)
    failed_later = select(DeliveryRecord.id).where(DeliveryRecord.updated_at > soon)
    return [
        Mend(
            SeriesRecord,
            and_(SeriesRecord.pending, SeriesRecord.last_received_at > soon),
            {"last_received_at": now},
        ),
        Mend(  # before the deliveries, by whose times it is known
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
        Mend(JobRecord, _is(JobRecord, "queued", JobRecord.enqueued_at > soon), {"enqueued_at": now}),
        Mend(
            JobRecord,
            _is(JobRecord, "running", JobRecord.lease_until > soon + settings.lease_s),
            {"lease_until": now + settings.lease_s},
        ),
        Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "waiting", DeliveryRecord.updated_at > soon),
            {"enqueued_at": now, "updated_at": now},
        ),
        Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "sending", DeliveryRecord.lease_until > soon + settings.delivery_lease_s),
            {"lease_until": now + settings.delivery_lease_s, "updated_at": now},
        ),
        *_pacs_from_the_future(settings.pacs, now, soon),
        *(_mend_of_webhook(each.name, 3 * each.timeout_s, longest_s, soon) for each in settings.webhooks),
        Mend(WorkerRecord, WorkerRecord.seen_at > soon, {"seen_at": now}),
    ]


def _pacs_from_the_future(settings: PacsSettings, now: float, soon: float) -> list[Mend]:
    """Pulls, and answers about storage that are awaited."""
    pull_s, timeout_s = settings.pull_lease_s, settings.commitment_timeout_s
    asking_s = max(ASKING_S, settings.commitment_retry_s)
    return [
        Mend(
            PullRecord,
            _is(PullRecord, "waiting", PullRecord.updated_at > soon),
            {"next_at": now, "updated_at": now},
        ),
        Mend(  # whoever does it may live: another must not begin it too
            PullRecord,
            _is(PullRecord, "running", PullRecord.next_at > soon + pull_s),
            {"next_at": now + pull_s},
        ),
        Mend(
            CommitmentRecord,
            _is(CommitmentRecord, "waiting", CommitmentRecord.next_at > soon + asking_s),
            {"next_at": now},
        ),
        Mend(
            CommitmentRecord,
            and_(_is_awaited(), CommitmentRecord.deadline > soon + timeout_s),
            {"deadline": now + timeout_s},
        ),
    ]


def _mend_of_webhook(name: str, lease_s: float, longest_s: float, soon: float) -> Mend:
    is_late = or_(WebhookRecord.lease_until > soon + lease_s, WebhookRecord.not_before > soon + longest_s)
    return Mend(
        WebhookRecord, and_(WebhookRecord.name == name, is_late), {"lease_until": None, "not_before": None}
    )


def after_a_leap(settings: ServiceSettings, now: float, leap_s: float) -> list[Mend]:
    """What had time left before the clock was set forward by `leap_s` seconds: it begins anew."""
    before = now - leap_s - TOLERANCE_S
    lease_s, delivery_s, pull_s = settings.lease_s, settings.delivery_lease_s, settings.pacs.pull_lease_s
    return [
        Mend(
            SeriesRecord,
            and_(
                SeriesRecord.pending,
                SeriesRecord.last_received_at.between(before - settings.quiet_period_s, now - TOLERANCE_S),
            ),
            {"last_received_at": now},
        ),
        Mend(
            JobRecord,
            _is(JobRecord, "running", JobRecord.lease_until.between(before, now)),
            {"lease_until": now + lease_s},
        ),
        Mend(
            DeliveryRecord,
            _is(DeliveryRecord, "sending", DeliveryRecord.lease_until.between(before, now)),
            {"lease_until": now + delivery_s},
        ),
        Mend(
            PullRecord,
            _is(PullRecord, "running", PullRecord.next_at.between(before, now)),
            {"next_at": now + pull_s},
        ),
        Mend(
            CommitmentRecord,
            and_(_is_awaited(), CommitmentRecord.deadline > before),
            {"deadline": now + settings.pacs.commitment_timeout_s},
        ),
    ]


def _is_awaited() -> ColumnElement[bool]:
    return CommitmentRecord.state.in_(("waiting", "asked"))


def _is(
    table: type[JobRecord | DeliveryRecord | PullRecord | CommitmentRecord],
    state: str,
    also: ColumnElement[bool],
) -> ColumnElement[bool]:
    return and_(table.state == state, also)
