"""The scaled-out system on one machine: PostgreSQL, redis-server, `penumbra serve`, and a worker on a second host.

The second host is a process in a UTS namespace of its own (needs root): it has another name, and its worker reaches
the database over a wire that can be cut.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import select

from service.faults.needs import need_second_host_name
from service.faults.postgres import Postgres, running_postgres
from service.faults.proxy import Proxy, wire_to
from service.faults.redis_server import RedisServer, running_redis
from service.faults.system import System, eventually, running_system
from service.figure_records import WorkerRecord
from service.records import JobRecord

SECOND = "second-host"
STOP_S = 60.0


class SecondHost:
    """One worker under another host's name."""

    def __init__(self, system: System, database_url: str) -> None:
        self._system = system
        self._environment = {**system.environment, "PENUMBRA_DATABASE_URL": database_url}
        self.log = system.data_dir / f"{SECOND}.log"
        self._worker: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def start(self) -> None:
        """Start its worker, and wait until it has told the database that it lives."""
        parent = os.getpid()
        script = f'hostname {SECOND} && exec "$0" -m service.process --parent {parent} worker'
        command = ["unshare", "--uts", "sh", "-c", script, sys.executable]
        self._started_at = time.time()
        with self.log.open("ab") as log:
            self._worker = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        eventually(self._is_known, what="a worker on the second host")

    def kill(self) -> None:
        """SIGKILL to all its processes, as if its power were cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def is_alive(self) -> bool:
        """Whether its worker still runs."""
        return self._worker is not None and self._worker.poll() is None

    def computes(self) -> str | None:
        """The id of the job that its worker has in hand just now."""
        running = select(JobRecord.id).where(
            JobRecord.state == "running",
            JobRecord.worker.startswith(SECOND),
            JobRecord.started_at > self._started_at,
            JobRecord.passes_done > 1,
        )
        with self._system.database.read() as session:
            return session.scalar(running)

    def _is_known(self) -> bool:
        """Whether it has shown itself since it was started, and the first host's worker too."""
        shown = select(WorkerRecord.host, WorkerRecord.seen_at).where(WorkerRecord.queue == "gpu")
        with self._system.database.read() as session:
            seen_at = {row.host: row.seen_at for row in session.execute(shown)}
        return seen_at.get(SECOND, 0) > self._started_at and socket.gethostname() in seen_at

    def _end(self, number: signal.Signals) -> None:
        if self._worker is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._worker.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._worker.wait(STOP_S)


class ScaledOut:
    """Its parts."""

    def __init__(self, system: System, postgres: Postgres, redis: RedisServer, wire: Proxy) -> None:
        self.system = system
        self.postgres = postgres
        self.redis = redis
        self.wire = wire
        self.second = SecondHost(system, postgres.url(port=wire.port))

    def done_by_host(self) -> str:
        """How many jobs each host ended, in words."""
        with self.system.database.read() as session:
            workers = session.scalars(select(JobRecord.worker).where(JobRecord.state == "done")).all()
        second = sum(worker is not None and worker.startswith(SECOND) for worker in workers)
        return f"{len(workers) - second} done by one host, {second} by the other"


@contextmanager
def scaled_out(folder: Path, nodes: Mapping[str, int] | None = None, **options: str) -> Iterator[ScaledOut]:
    """A scaled-out system for the length of a block. Options are settings without their prefix.

    Raises:
        PostgresMissing: PostgreSQL is not installed.
        RightsMissing: there can be no second host.
    """
    need_second_host_name()
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis(folder / "redis-server"))
        wire = stack.enter_context(wire_to(postgres.port))
        options |= {"DATABASE_URL": postgres.url(), "BROKER_URL": redis.url}
        system = stack.enter_context(running_system(folder, nodes, **options))
        site = ScaledOut(system, postgres, redis, wire)
        stack.callback(site.second.stop)
        site.second.start()
        yield site
        system.database.dispose()
