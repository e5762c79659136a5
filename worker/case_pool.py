"""One function over many cases, some at a time, each in a process and on a core of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from worker.ledger import ProgressReport

CT, TRUTH = "ct", "truth.dcm"
T = TypeVar("T")
OnCase = Callable[[int, int], None]  # cases that are done, of how many


def case_folders(folder: Path, *, at_most: int | None = None) -> list[Path]:
    """The folders below with `truth.dcm` (and `ct/`), in order."""
    return sorted(path.parent for path in folder.glob(f"*/{TRUTH}"))[:at_most]


def over_cases(
    work: Callable[[Path], T], cases: Sequence[Path], *, jobs: int, on_case: OnCase
) -> dict[str, T]:
    """The result of each case by its name, in the order of the cases. `work` must be picklable."""
    found: dict[str, T] = {}
    on_case(0, len(cases))
    for name, result in _as_ready(work, cases, jobs):
        found[name] = result
        on_case(len(found), len(cases))
    return {case.name: found[case.name] for case in cases}


def _as_ready(work: Callable[[Path], T], cases: Sequence[Path], jobs: int) -> Iterator[tuple[str, T]]:
    if jobs == 1:
        for case in cases:
            yield case.name, work(case)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_on_one_core) as pool:
        waiting = {pool.submit(work, case): case.name for case in cases}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


def silent(_report: ProgressReport) -> None:
    """A job's own progress goes nowhere: here it is counted by case."""


def _on_one_core() -> None:
    torch.set_num_threads(1)
