"""Processes as the kernel shows them under /proc: who runs, and whose children they are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Process ids of a process's children, whichever of its threads started them; those of the first one first."""
    found: list[int] = []
    with suppress(OSError):
        for thread in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda path: int(path.name)):
            with suppress(OSError):  # it ended meanwhile
                found += map(int, (thread / "children").read_text().split())
    return found


def descendants_of(pid: int) -> list[int]:
    """Its children, and theirs."""
    children = children_of(pid)
    return children + [below for child in children for below in descendants_of(child)]


def is_running(pid: int, *, parent: int | None = None) -> bool:
    """Whether a process runs (and has that parent)."""
    try:
        state, found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and parent in {None, int(found)}
