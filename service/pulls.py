"""Pulls: series that are fetched from an archive, counted against what it announces.

A pull is a row, so it survives a crash and several hosts share the work. While one is open, or has brought less than
was announced, its series is not taken as sent (`still_coming`), however quiet it is.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sqlalchemy import select

from service.archive_query import FoundSeries, SeriesQuery, find_series
from service.audit import Action, record
from service.database import Database
from service.deliveries import UnknownNode
from service.peer_table import target
from service.pull_state import OPEN
from service.records import PullRecord
from service.settings import NodeSettings, ServiceSettings
from worker.errors import PenumbraError

PullState = Literal["waiting", "running", "done", "incomplete", "failed"]
Method = Literal["move", "get"]
ENDED: Final = frozenset({"done", "incomplete", "failed"})


class PullNotFound(PenumbraError):
    """No pull has this id."""

    code = "pull-not-found"
    default_message = "There is no such pull."
    default_remedy = "List the pulls to see their ids."


class NothingFound(PenumbraError):
    """The archive has no series that fits."""

    code = "nothing-found"
    default_message = "The archive has no series that fits."
    default_remedy = "Check the UIDs and the modality."


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One series on its way from an archive."""

    id: str
    node: str
    method: Method
    state: PullState
    study_instance_uid: str
    series_instance_uid: str
    announced: int | None
    received: int
    attempts: int
    reason: dict[str, str] | None
    created_at: float
    updated_at: float


class Pulls:
    """Pulls as clients handle them. `service/pulling.py` does the work."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def find(self, ae_title: str, query: SeriesQuery) -> Sequence[FoundSeries]:
        """Ask an archive for series.

        Raises:
            UnknownNode: no node of this AE title is defined.
            ArchiveError: it cannot be reached, or does not answer.
        """
        node = self._node(ae_title)
        found = find_series(target(node, self._settings), query, calling_ae=self._settings.ae_title)
        with self._database.write() as session:
            record(session, Action.QUERIED, subject=ae_title, found=len(found))
        return found

    def ask(self, ae_title: str, query: SeriesQuery, method: Method | None = None) -> Sequence[Pull]:
        """Find series and pull each of them. One that is being pulled already is not pulled twice.

        Raises:
            UnknownNode: no node of this AE title is defined.
            NothingFound: the archive has no series that fits.
            ArchiveError: it cannot be reached, or does not answer.
        """
        node = self._node(ae_title)
        found = self.find(ae_title, query)
        if not found:
            raise NothingFound
        return [self._ask(node, series, method or node.pull) for series in found]

    def get(self, pull_id: str) -> Pull:
        """One pull.

        Raises:
            PullNotFound: no pull has this id.
        """
        with self._database.read() as session:
            found = session.get(PullRecord, pull_id)
            if found is None:
                raise PullNotFound
            return pull_of(found)

    def list(self, *, state: PullState | None = None, limit: int = 50) -> Sequence[Pull]:
        """Pulls, newest first."""
        query = select(PullRecord).order_by(PullRecord.created_at.desc(), PullRecord.id).limit(limit)
        if state is not None:
            query = query.where(PullRecord.state == state)
        with self._database.read() as session:
            return [pull_of(each) for each in session.scalars(query)]

    def _node(self, ae_title: str) -> NodeSettings:
        node = self._settings.node(ae_title)
        if node is None:
            raise UnknownNode
        return node

    def _ask(self, node: NodeSettings, series: FoundSeries, method: Method) -> Pull:
        now = time.time()
        with self._database.write() as session:
            open_one = session.scalars(
                select(PullRecord).where(
                    PullRecord.series_uid == series.series_uid,
                    PullRecord.node == node.ae_title,
                    PullRecord.state.in_(OPEN),
                )
            ).first()
            if open_one is not None:
                return pull_of(open_one)
            made = PullRecord(
                id=str(uuid.uuid4()),
                node=node.ae_title,
                method=method,
                state="waiting",
                study_uid=series.study_uid,
                series_uid=series.series_uid,
                announced=series.instances,
                received=0,
                attempts=0,
                next_at=now,
                created_at=now,
                updated_at=now,
            )
            session.add(made)
            about: dict[str, Any] = {"series_uid": made.series_uid, "study_uid": made.study_uid}
            record(session, Action.PULL_ASKED, subject=node.ae_title, **about)
            return pull_of(made)


def pull_of(found: PullRecord) -> Pull:
    """Read a record into a value."""
    return Pull(
        id=found.id,
        node=found.node,
        method=cast(Method, found.method),
        state=cast(PullState, found.state),
        study_instance_uid=found.study_uid,
        series_instance_uid=found.series_uid,
        announced=found.announced,
        received=found.received,
        attempts=found.attempts,
        reason=found.reason,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
