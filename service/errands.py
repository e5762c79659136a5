"""What the node does of its own accord over the network, beside the reconciler: storage commitment, pulling.

Each in a thread of its own, so that an archive that answers slowly holds up nothing else. The database says what is
to do; several hosts may do it at once. Each follows the clock itself: its leases and deadlines must begin anew before
it looks at them.
"""

import threading
from collections.abc import Callable
from typing import Final

from service.background import start_background
from service.clock import Clock
from service.commitment import Commitments
from service.database import Database
from service.pulling import Pulling
from service.settings import ServiceSettings

LOOK_S: Final = 1.0


def start_errands(settings: ServiceSettings, database: Database, stop: threading.Event) -> None:
    """Work in the background until asked to stop."""
    errands = {"commitments": Commitments(settings, database).work, "pulls": Pulling(settings, database).work}
    for name, work in errands.items():
        start_background(name, in_step(Clock(settings, database), work), stop, every_s=LOOK_S)


def in_step(clock: Clock, work: Callable[[], None]) -> Callable[[], None]:
    """Work only by a clock that one may go by."""

    def do() -> None:
        if clock.follow():
            work()

    return do
