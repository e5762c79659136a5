"""What the node does of its own accord over the network, beside the reconciler: storage commitment, pulling.

Each in a thread of its own, so that an archive that answers slowly holds up nothing else. The database says what is
to do; several hosts may do it at once.
"""

import threading
from typing import Final

from service.background import start_background
from service.commitment import Commitments
from service.database import Database
from service.pulling import Pulling
from service.settings import ServiceSettings

LOOK_S: Final = 1.0


def start_errands(settings: ServiceSettings, database: Database, stop: threading.Event) -> None:
    """Work in the background until asked to stop."""
    errands = {"commitments": Commitments(settings, database).work, "pulls": Pulling(settings, database).work}
    for name, work in errands.items():
        start_background(name, work, stop, every_s=LOOK_S)
