"""Keeps a set of child processes running: started in order, started again when they die, ended in reverse."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

POLL_S = 0.1
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SETTLED_S = 30.0
"""A child that ran for so long starts again without a long pause."""

PROBE_EVERY_S = 10.0
MISSES = 3
LOG_BYTES = 20 * 2**20

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """How to start one child, and how to see that it still works."""

    name: str
    command: tuple[str, ...]
    stop_timeout_s: float = 10.0
    prepare: Callable[[], None] = lambda: None
    """Run before every start."""

    ready: Callable[[], bool] = lambda: True
    """Waited for when the system starts."""

    first: bool = False
    """Must be ready before the next child is started."""

    alive: Callable[[], bool] | None = None
    """Asked every few seconds; a child that misses three times is killed (and started again)."""


@dataclass
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0
    misses: int = 0
    answered: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Supervisor:
    """Runs in the main thread: the kernel ends the children when the thread that started them is gone."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        environment: Mapping[str, str],
        logs_dir: Path,
        on_change: Callable[[dict[str, int]], None],
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._environment = dict(environment)
        self._logs_dir = logs_dir
        self._on_change = on_change

    def start(self, stop: threading.Event, timeout_s: float) -> bool:
        """Start all children in order and wait until all are ready. False if one never was."""
        for child in self._children:
            self._start(child)
            if child.spec.first and not self._wait_until_ready(child, stop, timeout_s):
                return False
        return all(self._wait_until_ready(child, stop, timeout_s) for child in self._children)

    def watch(self, stop: threading.Event) -> None:
        """Start again what dies, until asked to stop."""
        threading.Thread(target=self._probe, args=(stop,), name="probes", daemon=True).start()
        while not stop.wait(POLL_S):
            self._revive()

    def stop(self) -> None:
        """End all children: the last started is told first, and those marked `first` when the rest is gone."""
        for wave in (False, True):
            children = [child for child in reversed(self._children) if child.spec.first is wave]
            for child in children:
                if child.process is not None:
                    child.process.terminate()
            for child in children:
                self._wait_for_end(child)

    def pids(self) -> dict[str, int]:
        """The running children's process ids."""
        return {child.spec.name: child.process.pid for child in self._children if child.process is not None}

    def _wait_until_ready(self, child: _Child, stop: threading.Event, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not stop.is_set() and time.monotonic() < deadline:
            self._revive()
            if child.process is not None and child.process.poll() is None and child.spec.ready():
                return True
            time.sleep(POLL_S)
        log.error("child not ready", child=child.spec.name)
        return False

    def _start(self, child: _Child) -> None:
        child.spec.prepare()
        with _open_log(self._logs_dir / f"{child.spec.name}.log") as output:
            process = subprocess.Popen(
                child.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,  # a Ctrl-C is for us; we end the children in order
            )
        with child.lock:
            child.process, child.started_at = process, time.monotonic()
            child.misses, child.answered = 0, False
        log.info("child started", child=child.spec.name, pid=process.pid)
        self._on_change(self.pids())

    def _revive(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child, now)
            if child.process is None and 0 < child.start_at <= now:
                self._start(child)

    def _bury(self, child: _Child, now: float) -> None:
        assert child.process is not None  # noqa: S101 - for the type checker
        if now - child.started_at > SETTLED_S:
            child.deaths = 0
        pause_s = PAUSES_S[min(child.deaths, len(PAUSES_S) - 1)]
        log.warning("child died", child=child.spec.name, status=child.process.returncode, pause_s=pause_s)
        with child.lock:
            child.process = None
        child.deaths += 1
        child.start_at = now + pause_s

    @staticmethod
    def _wait_for_end(child: _Child) -> None:
        if child.process is None:
            return
        try:
            child.process.wait(child.spec.stop_timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("child killed", child=child.spec.name)
            child.process.kill()
            child.process.wait()
        with child.lock:
            child.process = None
        log.info("child ended", child=child.spec.name)

    def _probe(self, stop: threading.Event) -> None:
        while not stop.wait(PROBE_EVERY_S):
            for child in self._children:
                if child.spec.alive is not None and not stop.is_set():
                    self._probe_one(child, child.spec.alive)

    @staticmethod
    def _probe_one(child: _Child, alive: Callable[[], bool]) -> None:
        asked = child.process
        if asked is None:
            return
        answered = alive()
        with child.lock:
            if child.process is not asked:  # it died meanwhile
                return
            child.answered = child.answered or answered
            child.misses = 0 if answered or not child.answered else child.misses + 1
            if child.misses >= MISSES:
                log.error("child does not answer", child=child.spec.name, misses=child.misses)
                asked.kill()


def _open_log(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
