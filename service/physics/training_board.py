"""What training shows while it works: a bar per network with Dice, loss and the time left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from service import terminal

if TYPE_CHECKING:
    from models.training.run import Standing

Show = Callable[["Sequence[Standing]"], None]
LINES_EVERY_S = 60.0


@contextmanager
def training_board() -> Iterator[Show]:
    """On a terminal bars, moved by what it yields; elsewhere, in a log file say, lines once a minute."""
    if not terminal.errors.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=terminal.errors) as bars:
        tasks: dict[str, TaskID] = {}

        def show(standings: Sequence[Standing]) -> None:
            for each in standings:
                if each.name not in tasks:
                    tasks[each.name] = bars.add_task(each.name, total=each.steps, state="")
                bars.update(tasks[each.name], completed=each.step, state=describe(each))

        yield show


def _lines() -> Show:
    """Print a line per network at work, not too often, and whenever one has finished."""
    last, finished = -math.inf, -1

    def show(standings: Sequence[Standing]) -> None:
        nonlocal last, finished
        now, done = time.monotonic(), sum(s.finished for s in standings)
        if now - last < LINES_EVERY_S and done == finished:
            return
        last, finished = now, done
        for each in standings:
            if each.step:
                terminal.errors.print(
                    f"{each.name:14} {each.step}/{each.steps} {describe(each)}", markup=False
                )

    return show


def describe(standing: Standing) -> str:
    """Best Dice, last loss, time left."""
    if standing.step == 0:
        return "waiting"
    dice = f"Dice {standing.dice:.3f}"
    if standing.finished:
        return f"{dice}, done" if standing.step == standing.steps else f"{dice}, stopped early"
    left = standing.seconds_left
    time_left = "" if left is None else f", {timedelta(seconds=round(left))} left"
    return f"{dice}, loss {standing.loss:.3f}{time_left}"
