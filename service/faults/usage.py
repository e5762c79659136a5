"""What the processes of a system hold, and what its data folder takes: read from the kernel and the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from service.faults.processes import descendants_of
from service.faults.system import System

KIBIBYTE = 1024


class Held(NamedTuple):
    """What one process holds: resident memory in bytes, open file descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Usage:
    """A system at one moment. Processes by the name of their part, `worker child` being the one that computes."""

    processes: dict[str, Held] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    """Bytes of the data folder, by its first level."""

    pids: dict[str, int] = field(default_factory=dict)
    """Their process ids, by the same names."""

    @property
    def disk_bytes(self) -> int:
        """Of all of it."""
        return sum(self.disk.values())


def usage_of(system: System) -> Usage:
    """Look at all processes of a running system. One that ends meanwhile is left out."""
    held: dict[str, Held] = {}
    pids: dict[str, int] = {}
    for name, pid in _processes(system):
        with suppress(OSError):
            held[name] = _held(pid)
            pids[name] = pid
    return Usage(processes=held, disk=_disk(system.data_dir), pids=pids)


def _processes(system: System) -> Iterator[tuple[str, int]]:
    if system.process is not None:
        yield "supervisor", system.process.pid
    for part, pid in sorted(system.state()["children"].items()):
        yield part, int(pid)
        for number, child in enumerate(descendants_of(int(pid))):
            yield f"{part} child" + (f" {number + 1}" if number else ""), child


def _held(pid: int) -> Held:
    lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {name: value.split() for name, _, value in lines}
    return Held(
        memory=int(status["VmRSS"][0]) * KIBIBYTE,
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"][0]),
    )


def _disk(folder: Path) -> dict[str, int]:
    """Allocated bytes; a file with several names counts once, where it is found first."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):
            stat = path.lstat()
            if path.is_file() and stat.st_ino not in seen:
                seen.add(stat.st_ino)
                place = path.relative_to(folder).parts[0]
                found[place] = found.get(place, 0) + stat.st_blocks * 512
    return found
