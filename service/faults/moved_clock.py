"""A wall clock that can be set while processes run, for them alone: the host's own stays as it is.

Every Python process that is started with `environment` asks the wall clock of `time.time` plus an offset that lies in
a file. Clocks that only go forward (`time.monotonic`, those of the kernel's timers) go on as they do on a host whose
clock is set. A broker that is no Python process keeps the host's time.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

OFFSET = struct.Struct("d")
_INSTALL = "from service.faults.moved_clock import install\ninstall({path!r})\n"


class MovedClock:
    """The clock of the processes of one system."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._path, self._folder = folder / "offset", folder
        self._path.write_bytes(OFFSET.pack(0.0))
        (folder / "sitecustomize.py").write_text(_INSTALL.format(path=str(self._path)))

    def environment(self) -> dict[str, str]:
        """Variables for the processes: Python imports `sitecustomize` before anything else."""
        return {"PYTHONPATH": os.pathsep.join([str(self._folder), str(Path(__file__).parents[2])])}

    def move(self, seconds: float) -> None:
        """Set it forward, or back where negative."""
        with self._path.open("r+b") as stream:
            (offset,) = OFFSET.unpack(stream.read(OFFSET.size))
            stream.seek(0)
            stream.write(OFFSET.pack(offset + seconds))

    def now(self) -> float:
        """What it says, seconds since 1970."""
        (offset,) = OFFSET.unpack(self._path.read_bytes())
        return time.time() + float(offset)


def install(path: str) -> None:
    """In a process, for good: `time.time` adds the offset in that file."""
    with Path(path).open("rb") as stream:
        offset = mmap.mmap(stream.fileno(), OFFSET.size, access=mmap.ACCESS_READ)
    unmoved = time.time

    def moved() -> float:
        return unmoved() + float(OFFSET.unpack_from(offset)[0])

    time.time = moved
