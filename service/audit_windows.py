"""Events that may come a thousand times a second: the first is told at once, its like of the same minute counted."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
KINDS_KEPT: Final = 1000


@dataclass
class _Window:
    until: float
    untold: int = 0


class Windows:
    """Says of each event whether it is to be told. Safe to call from any number of threads."""

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()
        self._lock = threading.Lock()

    def untold(self, key: Hashable) -> int | None:
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

    def forget(self, key: Hashable, untold: int) -> None:
        """What was to be told could not be: the next like it is told, and with it those `untold` and what came since.

        The window as it was opened may be gone by then, with its count: then the next is told by itself.
        """
        with self._lock:
            if (window := self._windows.get(key)) is not None:
                window.until = -math.inf
                window.untold += untold
