"""Holds a job's lease while the job gets on, writes its progress down, and ends a process that hangs."""

import os
import signal
import threading
import time
from types import TracebackType
from typing import Self

import structlog

from worker.errors import Cancelled
from worker.ledger import Claim, LeaseLost, Ledger, LedgerUnavailable, ProgressReport
from worker.settings import WorkerSettings

STOP_GRACE_S = 30.0

log = structlog.get_logger(__name__)


class Heartbeat:
    """A thread beside the computation. The computation calls `report`; the thread talks to the ledger.

    A live thread must not hold the lease of a computation that hangs, so without any report for `stall_s` the
    process kills itself: the worker starts another, and the job is claimed anew.
    """

    def __init__(self, ledger: Ledger, claim: Claim, settings: WorkerSettings) -> None:
        self._ledger = ledger
        self._claim = claim
        self._settings = settings
        self._latest = self._written = ProgressReport(stage="starting")
        self._stop: LeaseLost | Cancelled | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._moved_at = self._renewed_at = time.monotonic()

    def report(self, progress: ProgressReport) -> None:
        """Say how far the job is.

        Raises:
            LeaseLost: stop; the job is another worker's now.
            Cancelled: stop; somebody asked for it.
        """
        self._latest = progress
        self._moved_at = time.monotonic()
        if self._stop is not None:
            raise self._stop

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._finished.wait(self._settings.progress_every_s):
            now = time.monotonic()
            limit_s = self._settings.stall_s if self._stop is None else STOP_GRACE_S
            if now - self._moved_at > limit_s:
                self._end_process()
            due = now - self._renewed_at >= self._settings.heartbeat_s
            if self._stop is None and (due or self._latest is not self._written):
                self._renew(self._latest)

    def _renew(self, progress: ProgressReport) -> None:
        try:
            self._ledger.renew(self._claim, progress)
        except LedgerUnavailable:
            log.warning("lease not renewed, ledger unavailable", job_id=self._claim.job_id)
        except (LeaseLost, Cancelled) as stop:
            log.info("job is to stop", job_id=self._claim.job_id, cause=type(stop).__name__)
            self._stop = stop
        else:
            self._written = progress
            self._renewed_at = time.monotonic()

    def _end_process(self) -> None:
        log.error("no progress, ending this process", job_id=self._claim.job_id, stage=self._latest.stage)
        os.kill(os.getpid(), signal.SIGKILL)
