"""A redis-server of our own, as a clinic's scaled-out system has one: on TCP, with a password."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.broker import server_binary
from service.probes import free_port

PASSWORD = "a1b2c3"  # noqa: S105 - of a server that lives for minutes on the loopback address
START_S = 60.0
CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir {folder}
requirepass {password}
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class RedisServer:
    """Debian's `redis-server` where it is installed, else the embedded broker's program."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._port = free_port("127.0.0.1")
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As Celery writes it."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return None if self._server is None else self._server.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        configuration = CONFIGURATION.format(port=self._port, folder=self._folder, password=PASSWORD)
        command = [shutil.which("redis-server") or str(server_binary()), "-"]
        with (self._folder / "redis.log").open("ab") as log:
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self._server.stdin is not None  # noqa: S101 - for the type checker
        self._server.stdin.write(configuration.encode())
        self._server.stdin.close()
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it in order; what it was told is in its append-only file."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; the last second may be lost."""
        self._end(signal.SIGKILL)

    def empty(self) -> None:
        """Every message is gone, and Celery's book of them."""
        self.client().flushall()

    def client(self) -> redis.Redis:
        """A connection to it."""
        return redis.Redis.from_url(self.url, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def _end(self, number: signal.Signals) -> None:
        if self._server is not None:
            self._server.send_signal(number)
            self._server.wait(START_S)
            self._server = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with suppress(redis.RedisError):
                if self.client().ping():
                    return
            time.sleep(0.05)
        raise TimeoutError("redis-server does not answer")


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """A server for the length of a block."""
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
