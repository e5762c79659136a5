"""The tables of `docs/reliability.md`: one row per fault, replaced when that fault is tried again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "<!-- begin: penumbra bench faults -->", "<!-- end -->"
HEAD = "| promise | fault | figure | test | command |\n|---|---|---|---|---|"
_ROW = re.compile(r"^\| (P\d+) \| ([^|]+) \|.*\|$", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """A promise, the fault in words, and what does it: folder and scale to figure and verdict."""

    promise: str
    words: str
    do: Callable[[Path, float], tuple[str, bool]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault that was tried.

    Attributes:
        promise: P1 to P21.
        fault: what was done to the system.
        figure: what came of it, in words and numbers.
        kept: whether the promise was.
        test: the test that guards it, as a path with the test's name.
        command: what to type to see it again.
    """

    promise: str
    fault: str
    figure: str
    kept: bool
    test: str
    command: str

    def __str__(self) -> str:
        """A line of Markdown."""
        verdict = "" if self.kept else "**broken:** "
        return (
            f"| {self.promise} | {self.fault} | {verdict}{self.figure} | `{self.test}` | `{self.command}` |"
        )


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Put rows into the table of a document between its marks; what is not named stays."""
    text = path.read_text()
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = {(m[1], m[2]): m[0] for m in _ROW.finditer(table)}
    lines |= {(row.promise, row.fault): str(row) for row in rows}
    ordered = [lines[key] for key in sorted(lines, key=lambda key: int(key[0][1:]))]
    path.write_text(before + "\n".join([BEGIN, HEAD, *ordered, END]) + after)
