"""`penumbra serve` in a process of its own, with short times and a stub for the networks, to be mistreated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from service.database import Database
from service.faults.moved_clock import MovedClock
from service.faults.processes import children_of, is_running
from service.jobs import Jobs
from service.schemas import JOBS_PATH
from service.settings import ServiceSettings
from worker.errors import Failed

PATIENCE_S = 300.0
SHORT_TIMES = {
    "RUNNER": "service.faults.stub_runner:run_job",
    "PASSES": "10",
    "API_PORT": "0",
    "DICOM_PORT": "0",
    "QUIET_PERIOD_S": "1.5",
    "LEASE_S": "10",
    "HEARTBEAT_S": "2",
    "SWEEP_S": "1",
    "RESEND_S": "5",
    "MIN_FREE_BYTES": "1000000",
    "MAX_ATTEMPTS": "50",
    "DELIVERY_PAUSES_S": "[0.5, 1.0]",
    "DELIVERY_ATTEMPTS": "500",
}
Answer = TypeVar("Answer")


class NotAsPromised(Failed):
    """A promise was broken, or something did not happen in time."""

    code = "not-as-promised"
    default_remedy = "Look into the logs of the system's data folder."


def eventually(question: Callable[[], Answer | None], *, what: str, within_s: float = PATIENCE_S) -> Answer:
    """Ask until the answer is true, and return it.

    Raises:
        NotAsPromised: it was not in time.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.05)
    raise NotAsPromised(f"{what} did not happen within {within_s:.0f} s.")


class System:
    """One embedded system on one data folder."""

    def __init__(
        self,
        data_dir: Path,
        nodes: Mapping[str, int],
        options: Mapping[str, str],
        clock: MovedClock | None = None,
    ) -> None:
        self.data_dir = data_dir
        known = [{"ae_title": name, "host": "127.0.0.1", "port": port} for name, port in nodes.items()]
        given = {**SHORT_TIMES, "DATA_DIR": str(data_dir), "NODES": json.dumps(known), **options}
        self._given = {f"PENUMBRA_{name}": value for name, value in given.items()}
        self._given |= {} if clock is None else clock.environment()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        return {**os.environ, **self._given}

    def start(self, tries: int = 3) -> None:
        """Start it and wait until all parts answer; a host that is very busy may need a second try.

        Raises:
            NotAsPromised: it does not come up.
        """
        self._launch()
        eventually(lambda: self.state().get("ready") or self._has_ended(), what="the start", within_s=600)
        if self._has_ended():
            if tries < 2:
                raise NotAsPromised(f"The system does not start; see {self.data_dir}.")
            self.start(tries - 1)

    def _launch(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def state(self) -> dict:  # type: ignore[type-arg]
        """What `serve.json` says; empty children before there is one."""
        try:
            return dict(json.loads((self.data_dir / "serve.json").read_text()))
        except FileNotFoundError:
            return {"children": {}}

    @property
    def jobs_url(self) -> str:
        """Where REST lists its jobs and takes series."""
        return f"http://127.0.0.1:{self.state()['api_port']}{JOBS_PATH}"

    def pid(self, part: str) -> int | None:
        """The process id of a part, None while it is being started again."""
        pid = self.state()["children"].get(part)
        return int(pid) if pid is not None and self._is_ours(pid) else None

    def kill(self, part: str) -> bool:
        """Send SIGKILL to a part, or `child`: the worker's computing process. False if it does not run just now."""
        pid = self._computing() if part == "child" else self.pid(part)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    @property
    def dicom_port(self) -> int:
        """Where the listener listens."""
        return int(self.state()["dicom_port"])

    @property
    def settings(self) -> ServiceSettings:
        """Enough of its settings to look into its data folder."""
        return ServiceSettings(
            data_dir=self.data_dir,
            database_url=self._given.get("PENUMBRA_DATABASE_URL"),
            dicom_port=self.state().get("dicom_port", 0),
        )

    def jobs(self) -> Jobs:
        """Its jobs, by their ordinary door."""
        return Jobs(self.settings, self.database)

    @cached_property
    def database(self) -> Database:
        """A connection of ours to its database."""
        return Database(self.settings.resolved_database_url)

    def _is_ours(self, pid: int) -> bool:
        """Whether it runs and is a child of our system: numbers of dead processes are given again."""
        return self.process is not None and is_running(pid, parent=self.process.pid)

    def _computing(self) -> int | None:
        worker = self.pid("worker")
        children = [] if worker is None else children_of(worker)
        return children[0] if children else None


@contextmanager
def running_system(
    folder: Path,
    nodes: Mapping[str, int] | None = None,
    clock: MovedClock | None = None,
    /,
    **options: str,
) -> Iterator[System]:
    """A system on `folder/data` for the length of a block. Options are settings without their prefix."""
    system = System(folder / "data", nodes or {}, options, clock)
    try:
        system.start()
        yield system
    finally:
        system.stop()
