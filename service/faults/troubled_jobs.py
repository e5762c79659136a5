"""Jobs that kill their worker, jobs that are cancelled, systems whose head is cut off (P4, P5, P17)."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from service.faults.account import jobs_of
from service.faults.clients import Sender
from service.faults.processes import is_running
from service.faults.small_series import make_series, uid_of
from service.faults.stub_runner import POISON_SEED
from service.faults.system import NotAsPromised, System, eventually, running_system

SLICES = 3
NEVER_S = "600"
"""A quiet period so long that only we submit."""


@dataclass(frozen=True, kw_only=True)
class Poisoned:
    """How a job that kills its worker ended, and how long the next one took from its submission on."""

    state: str
    code: str
    attempts: int
    next_done_s: float


def poison_a_worker(folder: Path, max_attempts: int = 3) -> Poisoned:
    """A job that kills the process that computes it, with an ordinary one behind it."""
    with running_system(folder, QUIET_PERIOD_S=NEVER_S, MAX_ATTEMPTS=str(max_attempts)) as system:
        poison, following = _received(system), _received(system)
        system.jobs().submit(poison, passes=2, seed=POISON_SEED)
        start = time.monotonic()
        system.jobs().submit(following, passes=2)
        eventually(lambda: jobs_of(system, following)[-1].state == "done", what="the next job's end")
        seconds = time.monotonic() - start
        eventually(lambda: jobs_of(system, poison)[-1].state == "failed", what="the poison job's end")
        job = jobs_of(system, poison)[-1]
    return Poisoned(
        state=job.state, code=(job.reason or {}).get("code", ""), attempts=job.attempts, next_done_s=seconds
    )


def cancel_in_mid_pass(folder: Path, count: int) -> tuple[list[float], int]:
    """Cancel running jobs; seconds until each had ended, and how many of them left a result."""
    seconds, results = [], 0
    with running_system(folder, QUIET_PERIOD_S=NEVER_S) as system:
        for _ in range(count):
            uid = _received(system)
            job = system.jobs().submit(uid, passes=1000)
            eventually(lambda uid=uid: jobs_of(system, uid)[-1].passes_done > 2, what="the middle of a job")  # type: ignore[misc]
            start = time.monotonic()
            system.jobs().cancel(job.id)
            eventually(lambda uid=uid: jobs_of(system, uid)[-1].state == "cancelled", what="the job's end")  # type: ignore[misc]
            seconds.append(time.monotonic() - start)
            results += (system.settings.jobs_dir / job.id / "result" / "rtstruct.dcm").exists()
    return sorted(seconds), results


def behead(folder: Path, count: int) -> tuple[int, list[float]]:
    """Kill the whole's head with -9, so often; processes that outlived it by 10 s, and seconds of each start."""
    orphans, seconds = 0, []
    with running_system(folder) as system:
        for _ in range(count):
            pids = [int(pid) for pid in system.state()["children"].values()]
            head = system.process
            if head is None:
                raise NotAsPromised("The system has no head.")
            os.kill(head.pid, signal.SIGKILL)
            head.wait()
            deadline = time.monotonic() + 10
            while any(map(is_running, pids)) and time.monotonic() < deadline:
                time.sleep(0.05)
            orphans += sum(map(is_running, pids))
            (system.data_dir / "serve.json").unlink(missing_ok=True)
            start = time.monotonic()
            system.start()
            seconds.append(time.monotonic() - start)
    return orphans, sorted(seconds)


def _received(system: System) -> str:
    series = make_series(SLICES)
    if not Sender("TPS").send_until_taken(series, system.dicom_port):
        raise NotAsPromised("A series was not taken.")
    return uid_of(series)
