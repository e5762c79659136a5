"""What one whole job costs: `penumbra segment` in a process of its own, timed and weighed from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class JobCost:
    """Of one job.

    Attributes:
        command_s: the whole command, the interpreter's start and the imports of it.
        stages_s: seconds of each stage, as the job's `result.json` has them.
        peak_bytes: most memory that the process held at a time (its maximum resident set).
    """

    command_s: float
    stages_s: Mapping[str, float]
    peak_bytes: int

    @property
    def job_s(self) -> float:
        """The job itself, as a worker that is already running does it."""
        return sum(self.stages_s.values())


def measure_job(ct: Path, out: Path, *options: str) -> JobCost:
    """Run `penumbra segment ct out` with these options; its bar shows on the terminal.

    Raises:
        subprocess.CalledProcessError: the job did not end `done`.
    """
    command = [sys.executable, "-m", "service.cli", "segment", str(ct), str(out), *options]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return JobCost(
        command_s=seconds,
        stages_s=json.loads((out / "result.json").read_text())["seconds"],
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def as_rows(cost: JobCost) -> list[list[str]]:
    """A table: each stage with its seconds and its share of the job."""
    rows = [[name, f"{s:.2f}", f"{s / cost.job_s:.0%}"] for name, s in cost.stages_s.items()]
    return [*rows, ["job", f"{cost.job_s:.2f}", "100%"]]
