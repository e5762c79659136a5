"""What the command line shows: progress on standard error, tables on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from worker.ledger import ProgressReport

errors = Console(stderr=True, soft_wrap=True, highlight=False)
output = Console(soft_wrap=True, highlight=False)

Advance = Callable[[str, float, float], None]  # what, done, of how many


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar; call what it yields with a text, how much is done, and of how much."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=False) as bar:
        task = bar.add_task(title, total=100.0)

        def advance(what: str, done: float, total: float) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield advance


@contextmanager
def job_progress(title: str) -> Iterator[Callable[[ProgressReport], None]]:
    """A bar that a job's reports move."""
    with progress_bar(title) as advance:
        yield lambda report: advance(describe(report), report.percent, 100.0)


def describe(report: ProgressReport) -> str:
    """Stage, structure and pass as one line of even width."""
    parts = [report.stage, report.structure or ""]
    if report.passes_total:
        parts.append(f"pass {report.passes_done}/{report.passes_total}")
    return " ".join(part for part in parts if part).ljust(38)


def quality_of(structure: Mapping[str, Any]) -> str:
    """The quality of a structure of `result.json`, as a cell."""
    return f"{structure['quality']:.3f}" if structure["quality_validated"] else "not validated"


def band_of(structure: Mapping[str, Any]) -> str:
    """The mean width of a structure's band, as a cell; "-" where it has no lower bound."""
    width = structure["band_mm"]["mean"]
    return "-" if width is None else f"{width:.1f}"


def table(columns: list[str], rows: list[list[str]], *, title: str | None = None) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        shown.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    output.print(shown)


def texts(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table of texts in rich's markup; the last column is folded to the terminal's width."""
    shown = Table(header_style="bold", show_lines=True)
    for name in columns:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*row)
    output.print(shown, soft_wrap=False)
