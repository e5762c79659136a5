"""Refused requests in the audit log: the first at once, its like of the same minute as one number.

Whoever knocks a thousand times a second must not write a thousand rows.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import OperationalError

from service import audit
from service.actor import Actor
from service.audit import Action
from service.database import Database

WINDOW_S = 60.0
KINDS_KEPT = 1000

log = structlog.get_logger(__name__)


@dataclass
class _Window:
    until: float
    untold: int = 0


class Refusals:
    """Notes refusals. One per process."""

    def __init__(self, database: Database, *, window_s: float = WINDOW_S) -> None:
        self._database = database
        self._window_s = window_s
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, actor: Actor, code: str, **about: str) -> None:
        """Somebody was refused for the reason `code`. Where the database does not answer, the log has it."""
        untold = self._untold((actor.user_id + (actor.address or ""), code))
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

    def _untold(self, key: tuple[str, str]) -> int | None:
        """How many like this went by untold before; None if this one is to be counted only."""
        now = time.monotonic()
        with self._lock:
            window = self._windows.pop(key, None)
            if window is not None and now < window.until:
                window.untold += 1
                self._windows[key] = window
                return None
            self._windows[key] = _Window(now + self._window_s)
            if len(self._windows) > KINDS_KEPT:
                self._windows.popitem(last=False)
            return 0 if window is None else window.untold
