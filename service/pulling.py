"""The work of a pull: ask what is announced, have it sent, count what came."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from pydicom.uid import RTStructureSetStorage
from sqlalchemy import ColumnElement, func, select, update

from service.archive_query import ArchiveError, SeriesQuery, find_series, known
from service.archive_transfer import Wanted, get, move
from service.audit import Action, record
from service.database import Database
from service.inbox import Inbox
from service.listener import IMAGE_CLASSES
from service.peer_table import target
from service.pull_state import OPEN
from service.pulls import NothingFound, Pull, pull_of
from service.records import InstanceRecord, PullRecord
from service.settings import ServiceSettings
from worker.errors import PenumbraError

RENEW_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 0.2

log = structlog.get_logger(__name__)


class Incomplete(PenumbraError):
    """Fewer instances came than the archive had announced."""

    code = "pull-incomplete"
    default_remedy = "Pull again. What came is kept; submit the series over REST to contour it as it is."


class Pulling:
    """Does one pull after the other."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._inbox = Inbox(settings, database)

    def work(self) -> None:
        """Do what is due."""
        while (pull := self._claim()) is not None:
            try:
                announced, received = self._pull(pull)
            except PenumbraError as error:
                self._end(pull, error)
            else:
                self._note(pull, announced=announced, received=received)

    def _claim(self) -> Pull | None:
        """Take a pull that is due, or one whose worker is gone."""
        now = time.time()
        due = select(PullRecord.id).where(PullRecord.state.in_(OPEN), PullRecord.next_at <= now)
        with self._database.read() as session:
            pull_id = session.scalar(due.order_by(PullRecord.next_at).limit(1))
        if pull_id is None:
            return None
        with self._database.write() as session:
            taken = session.scalar(
                update(PullRecord)
                .where(PullRecord.id == pull_id, PullRecord.id.in_(due))
                .values(
                    state="running",
                    attempts=PullRecord.attempts + 1,
                    next_at=now + self._settings.pacs.pull_lease_s,
                    updated_at=now,
                )
                .returning(PullRecord.id)
            )
            return None if taken is None else pull_of(session.get_one(PullRecord, taken))

    def _pull(self, pull: Pull) -> tuple[int, int]:
        """How many instances were announced, and how many are here now."""
        node = self._settings.node(pull.node)
        if node is None:
            raise ArchiveError(f"No node {pull.node} is defined in the settings.")
        query = SeriesQuery(
            study_uid=pull.study_instance_uid, series_uid=pull.series_instance_uid, modality=""
        )
        archive, calling_ae = target(node, self._settings), self._settings.ae_title
        series = known(find_series(archive, query, calling_ae=calling_ae), pull.series_instance_uid)
        if series is None:
            raise NothingFound("The archive does not have the series any more.")
        wanted = Wanted(
            node=archive,
            calling_ae=calling_ae,
            study_uid=pull.study_instance_uid,
            series_uid=pull.series_instance_uid,
        )
        sent = self._transfer(pull, wanted)
        announced = sent if series.instances is None else series.instances
        return announced, self._wait_for(pull, announced)

    def _transfer(self, pull: Pull, wanted: Wanted) -> int:
        log.info("pulling", node=pull.node, series_instance_uid=pull.series_instance_uid)
        alive = self._renewal(pull)
        if pull.method == "get":
            return get(wanted, self._inbox, (*IMAGE_CLASSES, RTStructureSetStorage), alive=alive)
        return move(wanted, alive=alive)

    def _renewal(self, pull: Pull) -> Callable[[], None]:
        last = time.monotonic()

        def renew() -> None:
            nonlocal last
            if time.monotonic() < last + RENEW_EVERY_S:
                return
            last = time.monotonic()
            values = {
                "next_at": time.time() + self._settings.pacs.pull_lease_s,
                "received": self._count(pull),
            }
            with self._database.write() as session:
                session.execute(update(PullRecord).where(*_held(pull)).values(values))

        return renew

    def _wait_for(self, pull: Pull, announced: int) -> int:
        """The last instances may still be on their way when the archive says that it has sent them."""
        deadline = time.monotonic() + self._settings.pacs.pull_settle_s
        while (received := self._count(pull)) < announced and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        return received

    def _count(self, pull: Pull) -> int:
        query = select(func.count()).where(InstanceRecord.series_uid == pull.series_instance_uid)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def _note(self, pull: Pull, *, announced: int, received: int) -> None:
        if received >= announced:
            self._end(pull, None, announced=announced, received=received)
            return
        missing = f"{pull.node} announced {announced} instances; {received} of them have come."
        self._end(pull, Incomplete(missing), announced=announced, received=received)

    def _end(
        self, pull: Pull, error: PenumbraError | None, *, announced: int | None = None, received: int = 0
    ) -> None:
        """Done, or another attempt, or the end after too many."""
        may_try = error is not None and pull.attempts < self._settings.pacs.pull_attempts
        ended = "done" if error is None else "incomplete" if isinstance(error, Incomplete) else "failed"
        now = time.time()
        with self._database.write() as session:
            found = session.scalar(select(PullRecord).where(*_held(pull)))
            if found is None:
                return
            found.state = "waiting" if may_try else ended
            found.next_at, found.updated_at = now + self._settings.pacs.pull_retry_s, now
            found.reason = None if error is None else error.as_reason()
            found.received = received
            found.announced = announced if announced is not None else found.announced
            if not may_try:
                record(
                    session,
                    Action.PULLED,
                    outcome="success" if error is None else "failure",
                    series_uid=found.series_uid,
                    study_uid=found.study_uid,
                    subject=pull.node,
                    count=received,
                )
        log.info("pull ended", node=pull.node, state=found.state, count=received, attempts=pull.attempts)


def _held(pull: Pull) -> tuple[ColumnElement[bool], ...]:
    return (
        PullRecord.id == pull.id,
        PullRecord.state == "running",
        PullRecord.attempts == pull.attempts,
    )
