"""Deliveries as clients handle them: look, send again, send to a further node."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit import Action
from service.database import Database
from service.delivery_steps import audit, send_again
from service.job import Delivery, delivery_of
from service.jobs import JobNotFound, StateConflict
from service.records import DeliveryRecord, JobRecord
from service.retention import Expired
from service.settings import ServiceSettings
from service.transitions import deliver, touch
from worker.errors import PenumbraError

NEWEST = 500

log = structlog.get_logger(__name__)


class DeliveryNotFound(PenumbraError):
    """No delivery has this id."""

    code = "delivery-not-found"
    default_message = "There is no such delivery."
    default_remedy = "List the deliveries to see their ids."


class UnknownNode(PenumbraError):
    """No node of this AE title is defined."""

    code = "unknown-node"
    default_message = "No node of this AE title is defined."
    default_remedy = "Define it in the settings (`nodes`), capitals included."


@dataclass(frozen=True, kw_only=True)
class JobDelivery:
    """A delivery with the job whose result it carries."""

    job_id: str
    delivery: Delivery
    created_at: float
    updated_at: float


class Deliveries:
    """Every call is one short transaction."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def list(
        self,
        *,
        state: str | None = None,
        node: str | None = None,
        job_id: str | None = None,
        limit: int = 50,
    ) -> Sequence[JobDelivery]:
        """The newest deliveries first, at most `NEWEST`."""
        query = select(DeliveryRecord).order_by(DeliveryRecord.created_at.desc(), DeliveryRecord.id)
        for column, wanted in (
            (DeliveryRecord.state, state),
            (DeliveryRecord.node, node),
            (DeliveryRecord.job_id, job_id),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._database.read() as session:
            return [_value(record) for record in session.scalars(query.limit(min(limit, NEWEST)))]

    def send_again(self, delivery_id: str) -> JobDelivery:
        """Send a result once more, now, whether it was delivered, given up or waits.

        Raises:
            DeliveryNotFound: no delivery has this id.
            StateConflict: it is being sent at this moment.
            Expired: the result has been deleted.
        """
        with self._database.write() as session:
            delivery = session.get(DeliveryRecord, delivery_id)
            if delivery is None:
                raise DeliveryNotFound
            return _again(session, delivery)

    def send(self, job_id: str, node: str) -> JobDelivery:
        """Send a job's result to a node, for the first time or again.

        Raises:
            JobNotFound: no job has this id.
            UnknownNode: no node of this AE title is defined.
            StateConflict: the job has no result, or it is being sent to the node at this moment.
        """
        if self._settings.node(node) is None:
            raise UnknownNode
        with self._database.write() as session:
            job = session.get(JobRecord, job_id)
            if job is None:
                raise JobNotFound
            if job.state != "done":
                raise StateConflict(
                    f"The job is {job.state}; only the result of one that is done can be sent."
                )
            _require_result(job)
            query = select(DeliveryRecord).where(DeliveryRecord.job_id == job_id, DeliveryRecord.node == node)
            known = session.scalar(query)
            if known is not None:
                return _again(session, known)
            deliver(session, job, (node,))
            touch(session, job)
            session.flush()
            delivery = session.scalars(query).one()
            audit(delivery, Action.RESEND_ASKED)
            return _value(delivery)


def _again(session: Session, delivery: DeliveryRecord) -> JobDelivery:
    if delivery.state == "sending":
        raise StateConflict("It is being sent at this moment.", remedy="Wait for how that ends.")
    job = session.get_one(JobRecord, delivery.job_id)
    _require_result(job)
    send_again(delivery)
    audit(delivery, Action.RESEND_ASKED)
    touch(session, job)
    log.info("sent again by hand", delivery_id=delivery.id, node=delivery.node, job_id=delivery.job_id)
    return _value(delivery)


def _require_result(job: JobRecord) -> None:
    if not job.has_result:
        raise Expired


def _value(record: DeliveryRecord) -> JobDelivery:
    return JobDelivery(
        job_id=record.job_id,
        delivery=delivery_of(record),
        created_at=record.created_at,
        updated_at=record.updated_at,
    )
