"""Refused requests, and what is sent again, in the audit log: the first at once, its like of the minute as a number.

Whoever knocks a thousand times a second must not write a thousand rows.
"""

import structlog
from sqlalchemy.exc import OperationalError

from service import audit
from service.actor import Actor, current_actor
from service.audit import Action
from service.audit_windows import WINDOW_S, Windows
from service.database import Database
from service.instance_header import InstanceHeader

log = structlog.get_logger(__name__)


class Refusals:
    """Notes refusals. One per process."""

    def __init__(self, database: Database, *, window_s: float = WINDOW_S) -> None:
        self._database = database
        self._windows = Windows(window_s=window_s)

    def note(self, actor: Actor, code: str, **about: str) -> None:
        """Somebody was refused for the reason `code`. Where the database does not answer, the log has it."""
        untold = self._windows.untold((actor.user_id, actor.address, code))
        if untold is None:
            return
        try:
            with self._database.write() as session:
                audit.record(
                    session, Action.REFUSED, actor=actor, outcome="failure", code=code, untold=untold, **about
                )
        except OperationalError as error:
            log.error(
                "refusal not in the audit log", code=code, address=actor.address, cause=type(error).__name__
            )


class Repetitions:
    """Notes instances that were received before, with the same content: once a minute per series and sender."""

    def __init__(self, database: Database, *, window_s: float = WINDOW_S) -> None:
        self._database = database
        self._windows = Windows(window_s=window_s)

    def note(self, header: InstanceHeader, sender: str) -> None:
        """Whoever acts sent an instance again.

        Raises:
            OperationalError: the database does not answer; the instance is to be sent once more.
        """
        actor = current_actor()
        kind = (actor.user_id, actor.address, header.series_uid)
        untold = self._windows.untold(kind)
        if untold is None:
            return
        try:
            self._record(actor, header, sender, untold)
        except BaseException:
            self._windows.forget(kind, untold)  # or the next would be accepted with no event at all
            raise

    def _record(self, actor: Actor, header: InstanceHeader, sender: str, untold: int) -> None:
        with self._database.write() as session:
            audit.record(
                session,
                Action.RECEIVED,
                actor=actor,
                sender=sender,
                again=True,
                untold=untold,
                series_uid=header.series_uid,
                study_uid=header.study_uid,
                subject=header.sop_uid,
            )
