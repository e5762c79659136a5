"""Storage commitment: a node that stored a result is asked whether it takes responsibility for it (PS3.4 annex J).

The request is a row from the moment of the delivery on, so neither a crash nor a node that is down forgets it. The
node answers later, mostly over an association of its own to our listener; one that never does leaves the delivery
`unconfirmed`. Nothing is sent again by itself.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.audit import Action
from service.commitment_request import CommitmentReport, Request, ask
from service.database import Database
from service.delivery_steps import audit
from service.peer_table import target
from service.records import CommitmentRecord, DeliveryRecord, JobRecord
from service.settings import NodeSettings, ServiceSettings
from service.transitions import touch
from worker.delivery import DeliveryError

ASKING_S: Final = 180.0  # longer than one request takes; then whoever asked is taken to be dead
OPEN: Final = ("waiting", "asked", "unconfirmed")  # an answer may come late

log = structlog.get_logger(__name__)


class _Due(NamedTuple):
    transaction_uid: str
    node: str
    attempts: int
    deadline: float


class Commitments:
    """Requests of storage commitment; every step is a conditional change in the database."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def work(self) -> None:
        """Ask whom it is time to ask now, each once, and give up those whose time is over."""
        began = time.time()
        try:
            while (due := self._claim(began)) is not None:
                self._ask(due)
        finally:
            self._give_up()

    def note(self, report: CommitmentReport) -> bool:
        """A node's answer. False if we have asked for no such transaction, or it was answered before."""
        with self._database.write() as session:
            record = session.get(CommitmentRecord, report.transaction_uid)
            if record is None or record.state not in OPEN:
                return False
            delivery = session.get_one(DeliveryRecord, record.delivery_id)
            missing = _missing(delivery.objects or (), report)
            _end(session, record, "refused" if missing else "committed", _words(record.node, missing))
            audit(
                delivery, Action.NOT_COMMITTED if missing else Action.COMMITTED, objects=len(report.committed)
            )
        log.info("storage commitment answered", node=record.node, state=record.state, count=len(missing))
        return True

    def _claim(self, began: float) -> _Due | None:
        """One that it was time to ask then, the longest due first; nobody else takes it while it is asked.

        Not all at once: the others would wait for a node that is slow, though another host has time for them.
        What becomes due meanwhile waits for the next pass: nodes that are slower to fail than the pause before
        the next try would have this one never end.
        """
        now = time.time()
        due = select(CommitmentRecord.transaction_uid).where(
            CommitmentRecord.state == "waiting",
            CommitmentRecord.next_at <= began,
            CommitmentRecord.deadline > now,
        )
        with self._database.read() as session:
            first = session.scalar(due.order_by(CommitmentRecord.next_at).limit(1))
        if first is None:
            return None
        with self._database.write() as session:
            row = session.execute(
                update(CommitmentRecord)
                .where(CommitmentRecord.transaction_uid == first, CommitmentRecord.transaction_uid.in_(due))
                .values(next_at=now + ASKING_S, attempts=CommitmentRecord.attempts + 1)
                .returning(
                    CommitmentRecord.transaction_uid,
                    CommitmentRecord.node,
                    CommitmentRecord.attempts,
                    CommitmentRecord.deadline,
                )
            ).one_or_none()
            return None if row is None else _Due(*row)

    def _ask(self, due: _Due) -> None:
        node = self._settings.node(due.node)
        try:
            if node is None:
                raise DeliveryError(f"No node {due.node} is defined in the settings.")
            ask(self._request(due, node), on_report=self.note)
        except DeliveryError as error:
            log.warning("storage commitment not asked", node=due.node, attempts=due.attempts)
            self._later(due, error.message)
        else:
            log.info("storage commitment asked", node=due.node)
            self._asked(due)

    def _request(self, due: _Due, node: NodeSettings) -> Request:
        with self._database.read() as session:
            record = session.get_one(CommitmentRecord, due.transaction_uid)
            objects = session.get_one(DeliveryRecord, record.delivery_id).objects or []
        return Request(
            node=target(node, self._settings),
            calling_ae=self._settings.ae_title,
            transaction_uid=due.transaction_uid,
            objects=tuple((sop_class, uid) for sop_class, uid in objects),
            linger_s=self._settings.pacs.commitment_linger_s,
        )

    def _asked(self, due: _Due) -> None:
        """Unless the answer came already over the same association."""
        with self._database.write() as session:
            session.execute(
                update(CommitmentRecord)
                .where(
                    CommitmentRecord.transaction_uid == due.transaction_uid,
                    CommitmentRecord.state == "waiting",
                )
                .values(state="asked", next_at=due.deadline, note=None, updated_at=time.time())
            )

    def _later(self, due: _Due, error: str) -> None:
        next_at = time.time() + self._settings.pacs.commitment_retry_s
        with self._database.write() as session:
            record = session.get_one(CommitmentRecord, due.transaction_uid)
            if record.state == "waiting":
                record.next_at, record.note, record.updated_at = next_at, error, time.time()

    def _give_up(self) -> None:
        late = select(CommitmentRecord).where(
            CommitmentRecord.state.in_(("waiting", "asked")), CommitmentRecord.deadline <= time.time()
        )
        with self._database.read() as session:
            if session.scalar(late.limit(1)) is None:
                return
        with self._database.write() as session:
            for record in session.scalars(late).all():
                was_asked = record.state == "asked"
                silent = f"{record.node} was asked and has not answered."
                _end(session, record, "unconfirmed", silent if was_asked else record.note or silent)
                delivery = session.get_one(DeliveryRecord, record.delivery_id)
                audit(delivery, Action.NOT_COMMITTED)
                log.warning("storage unconfirmed", node=record.node, delivery_id=record.delivery_id)


def _end(session: Session, record: CommitmentRecord, state: str, note: str | None) -> None:
    record.state, record.note, record.updated_at = state, note, time.time()
    delivery = session.get_one(DeliveryRecord, record.delivery_id)
    touch(session, session.get_one(JobRecord, delivery.job_id))


def _missing(objects: Sequence[Sequence[str]], report: CommitmentReport) -> Mapping[str, str]:
    """Objects that the node does not answer for, with its reasons."""
    wanted = [uid for _, uid in objects if uid not in report.committed or uid in report.failed]
    return {uid: report.failed.get(uid, "it does not mention it") for uid in wanted}


def _words(node: str, missing: Mapping[str, str]) -> str | None:
    if not missing:
        return None
    uid, reason = next(iter(missing.items()))
    more = f" So it is with {len(missing) - 1} more." if len(missing) > 1 else ""
    return f"{node} does not answer for instance {uid}: {reason}.{more} Send the result again."
