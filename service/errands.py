"""What the node does of its own accord over the network, beside the reconciler: storage commitment, pulling.

Each in a thread of its own, so that an archive that answers slowly holds up nothing else. The database says what is
to do; several hosts may do it at once.
"""

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.commitment import Commitments
from service.database import Database
from service.logs import place_of
from service.pulling import Pulling
from service.settings import ServiceSettings

LOOK_S = 1.0

log = structlog.get_logger(__name__)


def start_errands(settings: ServiceSettings, database: Database, stop: threading.Event) -> None:
    """Work in the background until asked to stop."""
    errands = {"commitments": Commitments(settings, database).work, "pulls": Pulling(settings, database).work}
    for name, work in errands.items():
        threading.Thread(target=_run, args=(work, stop), name=name, daemon=True).start()


def _run(work: Callable[[], None], stop: threading.Event) -> None:
    while not stop.wait(LOOK_S):
        try:
            work()
        except (SQLAlchemyError, OSError) as error:
            log.error("errand failed", cause=type(error).__name__, where=place_of(error))
        except BaseException:
            stop.set()  # nobody would do it any more: end, and be started again
            raise
