"""The steps of a delivery: sent, tried again, handed to a fallback, given up, sent once more by hand.

Each runs inside the caller's transaction. One attempt is one association with one node. The first attempts go to
the node itself; when `fallback_after` of them have failed, every further round tries the node and then its
fallbacks in order, and pauses only after the last of them.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session, object_session

from service.audit import Action, record
from service.records import DeliveryRecord, JobRecord
from service.settings import ServiceSettings
from service.transitions import ring
from worker.ledger import Sent

FAILURES = frozenset({Action.DELIVERY_FAILED, Action.NOT_COMMITTED})


class Step(NamedTuple):
    """The next attempt: at which node, and after which pause (seconds)."""

    target: str
    pause_s: float


def next_step(attempts: int, target: str, order: Sequence[str], settings: ServiceSettings) -> Step | None:
    """What follows a failed attempt.

    Args:
        attempts: how many there were, this one included.
        target: the node that this one went to.
        order: the node that the result is for, then its fallbacks.
        settings: pauses, and how often it is tried.

    Returns:
        The next attempt, or None to give up.
    """
    alone = settings.pacs.fallback_after
    place = order.index(target) if target in order else len(order) - 1
    if attempts >= alone and place + 1 < len(order):
        return Step(order[place + 1], 0.0)
    rounds = attempts if attempts < alone else alone + (attempts - alone) // len(order)
    if rounds >= settings.delivery_attempts:
        return None
    pauses = settings.delivery_pauses_s
    return Step(order[0], pauses[min(rounds, len(pauses)) - 1])


def note_sent(delivery: DeliveryRecord, sent: Sequence[Sent]) -> None:
    """The target has it. What it was warned of or refused is kept, and that it is only a fallback."""
    remarks = [each.remark for each in sent if each.remark]
    target = delivery.target or delivery.node
    if target != delivery.node:
        remarks.insert(0, f"{delivery.node} did not take it, so it went to {target}.")
    delivery.state, delivery.lease_until, delivery.last_error = "delivered", None, None
    delivery.remarks = remarks or None
    delivery.objects = [[each.sop_class_uid, each.sop_instance_uid] for each in sent if each.stored]
    delivery.updated_at = time.time()
    audit(delivery, Action.DELIVERED, objects=len(delivery.objects))


def note_failure(delivery: DeliveryRecord, error: str, settings: ServiceSettings) -> None:
    """The target does not have it: another attempt, or the end."""
    order = settings.with_fallbacks(delivery.node)
    step = next_step(delivery.attempts, delivery.target or delivery.node, order, settings)
    delivery.last_error, delivery.lease_until, delivery.updated_at = error, None, time.time()
    if step is None:
        delivery.state = "failed"
        audit(delivery, Action.DELIVERY_FAILED)
        return
    delivery.state, delivery.target = "waiting", step.target
    delivery.enqueued_at = time.time() + step.pause_s
    ring(_session_of(delivery), "deliver", delivery.id, pause_s=step.pause_s)


def send_again(delivery: DeliveryRecord) -> None:
    """Send it once more, now, with its attempts counted anew and to the node itself first."""
    delivery.state, delivery.target, delivery.attempts = "waiting", None, 0
    delivery.last_error = delivery.remarks = delivery.objects = delivery.enqueued_at = None
    delivery.updated_at = time.time()
    ring(_session_of(delivery), "deliver", delivery.id)


def audit(delivery: DeliveryRecord, action: Action, *, objects: int | None = None) -> None:
    """Write down what happened to a delivery, and to which node."""
    session = _session_of(delivery)
    job = session.get_one(JobRecord, delivery.job_id)
    record(
        session,
        action,
        outcome="failure" if action in FAILURES else "success",
        job_id=job.id,
        series_uid=job.series_uid,
        study_uid=job.study_uid,
        subject=delivery.target or delivery.node,
        objects=objects,
    )


def _session_of(delivery: DeliveryRecord) -> Session:
    session = object_session(delivery)
    if session is None:
        raise ValueError("the delivery is in no session")
    return session
