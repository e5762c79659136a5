"""Who is looking at which series just now: so that a look at 160 slices is one event of the audit log, and not 160."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

VIEWING_S: Final = 600.0  # after that long a further slice is another look
REMEMBERED: Final = 10_000

Viewer = tuple[str, str | None, str]  # who, from where, which job


class Viewings:
    """Remembers which looks have been noted. Forgetting one only notes it again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: OrderedDict[Viewer, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_noted(self, viewer: Viewer) -> bool:
        """Whether this look has been noted within the last ten minutes."""
        with self._lock:
            noted = self._noted.get(viewer)
        return noted is not None and self._clock() - noted < VIEWING_S

    def note(self, viewer: Viewer) -> None:
        """It is noted now."""
        with self._lock:
            self._noted[viewer] = self._clock()
            self._noted.move_to_end(viewer)
            while len(self._noted) > REMEMBERED:
                self._noted.popitem(last=False)
