"""The baseline: plain Celery on the same broker, late acknowledgement, flushed at every write, killed alike.

`python -m service.faults.plain_celery BROKER_URL FILE` is its worker: a task appends its number to the file.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from service.broker import EmbeddedBroker
from service.settings import ServiceSettings

TASK = "baseline.append"
VISIBILITY_S = 5
PAUSE_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Tasks that were sent, and how often each ran to its end."""

    kills: int
    sent: int
    missing: int
    doubled: int


def run_baseline(folder: Path, tasks: int, kills: int, *, seed: int = 0) -> Baseline:
    """Send so many tasks, kill -9 worker and broker in turn so often at random moments, wait, count."""
    drawn, done = random.Random(seed), folder / "done.txt"
    broker = EmbeddedBroker(ServiceSettings(data_dir=folder))
    command = broker.prepare()
    running = [_start_broker(broker, command), _start_worker(broker.url, done)]
    app = make_app(broker.url)
    try:
        sent = 0
        for number in range(kills):
            for _ in range(tasks // kills):
                sent += _send(app, sent)
            time.sleep(drawn.expovariate(1 / PAUSE_S))
            victim = number % 2
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            if victim:
                running[1] = _start_worker(broker.url, done)
            else:
                running[0] = _start_broker(broker, command)
        _wait_until_quiet(done)
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
    ran = Counter(done.read_text().split())
    return Baseline(
        kills=kills,
        sent=sent,
        missing=sum(str(number) not in ran for number in range(sent)),
        doubled=sum(count > 1 for count in ran.values()),
    )


def make_app(broker_url: str) -> Celery:
    """Celery as its documentation makes it safe: late acknowledgement, nothing fetched ahead."""
    app = Celery("baseline", broker=broker_url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_S,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
        },
    )
    return app


def run_worker(broker_url: str, path: Path) -> None:
    """Be the worker."""
    app = make_app(broker_url)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def append(number: int) -> None:
        with path.open("a") as stream:
            stream.write(f"{number}\n")

    app.Worker(pool="prefork", without_gossip=True, without_mingle=True, loglevel="ERROR", quiet=True).start()


def _send(app: Celery, number: int) -> int:
    """1 if the broker took the task."""
    try:
        app.send_task(TASK, args=[number], retry=False)
    except (OperationalError, OSError):
        return 0
    return 1


def _start_broker(broker: EmbeddedBroker, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    broker.stop_leftover()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    broker.wait_until_ready(30)
    return process


def _start_worker(url: str, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", __name__, url, str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_until_quiet(path: Path, quiet_s: float = 6.0 * VISIBILITY_S) -> None:
    """Until nothing was done for longer than any message waits to be handed out again."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.5)
        now = path.stat().st_size if path.exists() else 0
        if now != size:
            size, since = now, time.monotonic()


if __name__ == "__main__":
    run_worker(sys.argv[1], Path(sys.argv[2]))
