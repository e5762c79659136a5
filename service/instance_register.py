"""The rows of received instances. Associations that wait at the same time share one commit.

A commit costs a flush of the disk and only one writer can be at it. So whoever comes to the turn writes down all
that wait, and the others find their entry settled. Nobody is answered before the commit that holds his instance.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from sqlalchemy import Boolean, Connection, Table, bindparam, insert, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service import audit
from service.actor import Actor, acting, current_actor
from service.audit import Action
from service.database import Database
from service.instance_header import InstanceHeader
from service.records import InstanceRecord, SeriesRecord
from service.settings import ServiceSettings
from service.transitions import note_instances

_INSTANCE, _SERIES = cast(Table, InstanceRecord.__table__), cast(Table, SeriesRecord.__table__)
_KNOWN = select(_INSTANCE.c.sop_uid, _INSTANCE.c.sha256, _INSTANCE.c.path).where(
    _INSTANCE.c.sop_uid.in_(bindparam("sop_uids", expanding=True))
)
_ADD_INSTANCE = insert(_INSTANCE)
_COUNT_IN = (
    update(_SERIES)
    .where(_SERIES.c.series_uid == bindparam("uid"))
    .values(
        instance_count=_SERIES.c.instance_count + bindparam("more"),
        pending=or_(_SERIES.c.pending, bindparam("is_image", type_=Boolean())),
        last_received_at=bindparam("now"),
        sender=bindparam("from"),
        source=bindparam("way"),
        called=bindparam("title"),
    )
    .returning(_SERIES.c.instance_count)
)


class Known(NamedTuple):
    """An instance that is registered. `path` is relative to the inbox."""

    sop_uid: str
    sha256: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """An instance whose file is safely on the disk, to be registered."""

    header: InstanceHeader
    path: str
    size_bytes: int
    sender: str
    source: str
    called: str | None = None
    actor: Actor = field(default_factory=current_actor)
    """Who brought it, for the audit log."""

    @property
    def known(self) -> Known:
        """What others are told of it once it is registered."""
        return Known(self.header.sop_uid, self.header.sha256, self.path)


@dataclass
class _Waiting:
    arrival: Arrival
    settled: bool = False
    earlier: Known | None = None
    error: Exception | None = None


@dataclass
class InstanceRegister:
    """Registers instances; safe to call from any number of threads."""

    settings: ServiceSettings
    database: Database
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def find(self, sop_uid: str) -> Known | None:
        """The instance of that UID, if one was received."""
        with self.database.read_rows() as connection:
            return _known(connection, [sop_uid]).get(sop_uid)

    def add(self, arrival: Arrival) -> Known | None:
        """Register an instance; it is in the database once this returns.

        Returns:
            None, or the instance that has its UID already; nothing was changed then.

        Raises:
            OperationalError: the database cannot be reached.
        """
        mine = _Waiting(arrival)
        self._waiting.append(mine)
        with self._turn:
            if not mine.settled:  # then it still waits, for only the one at the turn takes from those who do
                self._settle([self._waiting.popleft() for _ in range(len(self._waiting))])
        if mine.error is not None:
            raise mine.error
        return mine.earlier

    def _settle(self, waiting: Sequence[_Waiting]) -> None:
        """Write all in one transaction; if something is wrong with one of them, each in its own."""
        try:
            self._commit(waiting)
        except Exception as error:  # noqa: BLE001 - handed to those who wait for it
            if len(waiting) == 1 or isinstance(error, OperationalError):
                for each in waiting:
                    each.error, each.settled = error, True
                return
            for each in waiting:
                self._settle([each])

    def _commit(self, waiting: Sequence[_Waiting]) -> None:
        with self.database.write_rows() as connection:
            known = _known(connection, [each.arrival.header.sop_uid for each in waiting])
            fresh: dict[str, list[Arrival]] = defaultdict(list)
            for each in waiting:
                arrival = each.arrival
                each.earlier = known.get(arrival.header.sop_uid)
                if each.earlier is None:
                    known[arrival.header.sop_uid] = arrival.known  # the same one may wait twice
                    fresh[arrival.header.series_uid].append(arrival)
            now = time.time()
            for arrivals in fresh.values():
                _add_to_series(connection, arrivals, now, self.settings)
        for each in waiting:
            each.settled = True


def _known(connection: Connection, sop_uids: Sequence[str]) -> dict[str, Known]:
    rows = connection.execute(_KNOWN, {"sop_uids": sop_uids})
    return {row.sop_uid: Known(row.sop_uid, row.sha256, row.path) for row in rows}


def _add_to_series(
    connection: Connection, arrivals: Sequence[Arrival], now: float, settings: ServiceSettings
) -> None:
    # An RTSTRUCT is kept, and there is nothing to do about it: what comes last is the last image, if there is one.
    last = next((each for each in reversed(arrivals) if each.header.is_image), arrivals[-1])
    count = _count_in(connection, last, len(arrivals), now)
    connection.execute(_ADD_INSTANCE, [_instance_row(each, now) for each in arrivals])
    for each in arrivals:
        if not each.header.is_image:  # of images their job tells (`note_instances`)
            _audit(connection, each)
    if not last.header.is_image:
        return
    with acting(last.actor):  # this thread may write down what another association brought
        note_instances(connection, last.header.series_uid, count, settings)


def _audit(connection: Connection, arrival: Arrival) -> None:
    header = arrival.header
    with acting(arrival.actor), Session(connection) as session, session.begin():  # the caller's transaction
        audit.record(
            session,
            Action.RECEIVED,
            sender=arrival.sender,
            series_uid=header.series_uid,
            study_uid=header.study_uid,
            subject=header.sop_uid,
        )


def _count_in(connection: Connection, last: Arrival, more: int, now: float) -> int:
    """Add so many instances to their series, which may begin with them; returns how many it has then."""
    header = last.header
    origin = {"from": last.sender, "way": last.source, "title": last.called, "is_image": header.is_image}
    values = {"uid": header.series_uid, "more": more, "now": now, **origin}
    count: int | None = connection.execute(_COUNT_IN, values).scalar_one_or_none()
    if count is None:
        connection.execute(insert(_SERIES), _series_row(last, more, now))
    return more if count is None else count


def _series_row(arrival: Arrival, count: int, now: float) -> Mapping[str, Any]:
    header = arrival.header
    return {
        "series_uid": header.series_uid,
        "study_uid": header.study_uid,
        "modality": header.modality,
        "sender": arrival.sender,
        "source": arrival.source,
        "called": arrival.called,
        "instance_count": count,
        "pending": header.is_image,
        "revision": 0,
        "first_received_at": now,
        "last_received_at": now,
    }


def _instance_row(arrival: Arrival, now: float) -> Mapping[str, Any]:
    header = arrival.header
    return {
        "sop_uid": header.sop_uid,
        "series_uid": header.series_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "sha256": header.sha256,
        "path": arrival.path,
        "size_bytes": arrival.size_bytes,
        "sender": arrival.sender,
        "received_at": now,
    }
