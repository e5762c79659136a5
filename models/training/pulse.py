"""Signs of life between checkpoints, for whoever looks on: `pulse.json`."""

from __future__ import annotations

import json
import time
from pathlib import Path

from models.whole_file import write_whole

PULSE_S = 2.0


class Pulse:
    """Writes step, loss and seconds per step of a training to its folder, every few seconds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pulse.json"
        self._began: tuple[int, float] | None = None  # step, time
        self._written = 0.0

    def beat(self, step: int, loss: float) -> None:
        """Called after every step; time spent in validation counts, as it will again."""
        now = time.monotonic()
        if self._began is None:
            self._began = (step, now)
        elif now - self._written >= PULSE_S:
            first, began = self._began
            self._written = now
            rate = (now - began) / (step - first)
            write_whole(self._file, json.dumps({"step": step, "loss": loss, "seconds_per_step": rate}))
