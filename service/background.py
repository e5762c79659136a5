"""Work of a process beside its main one, each in a thread of its own.

A failure that passes (the database away, a socket broken) is logged and the work tried again. Any other ends the
process, which the supervisor starts again: a thread that died alone would be missed by nobody.
"""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.logs import place_of

log = structlog.get_logger(__name__)


def start_background(name: str, work: Callable[[], None], stop: threading.Event, *, every_s: float) -> None:
    """Do the work again and again, `every_s` seconds apart, until asked to stop."""
    threading.Thread(target=_run, args=(name, work, stop, every_s), name=name, daemon=True).start()


def _run(name: str, work: Callable[[], None], stop: threading.Event, every_s: float) -> None:
    while not stop.wait(every_s):
        try:
            work()
        except (SQLAlchemyError, OSError) as error:
            log.error("errand failed", child=name, cause=type(error).__name__, where=place_of(error))
        except BaseException:
            stop.set()  # nobody would do it any more: end, and be started again
            raise
