"""The processes that train: started afresh, with an allocator that keeps what it has, and gone when their parent is."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread

from worker.heap import keep_large_blocks


def training_pool(jobs: int) -> ProcessPoolExecutor:
    """A pool of `jobs` processes."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_start)


def _start() -> None:
    keep_large_blocks()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed would leave its children training into folders that the next run resumes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
