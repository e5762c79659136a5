"""The processes that train: started afresh, with an allocator that keeps what it has."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from worker.heap import keep_large_blocks


def training_pool(jobs: int) -> ProcessPoolExecutor:
    """A pool of `jobs` processes."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=keep_large_blocks)
