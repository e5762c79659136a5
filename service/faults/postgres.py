"""A PostgreSQL of our own, from the programs that are installed: to be tested on, restarted, killed and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from service.faults.processes import children_of
from service.probes import free_port
from worker.errors import Failed

OWNER: Final = "postgres"
"""Whom the server runs as where we are root, which it refuses to be."""

START_S = 120.0
PROGRAMS = "/usr/lib/postgresql"  # where Debian puts each version's programs
ENDINGS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
Ending = Literal["smart", "fast", "immediate"]


class PostgresMissing(Failed):
    """PostgreSQL's programs are not installed."""

    code = "postgres-missing"
    default_message = "PostgreSQL's server is not installed."
    default_remedy = "Debian: apt-get install postgresql"


class Postgres:
    """One cluster in a folder of its own, on the loopback address, trusting everybody there."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self._data = folder / "cluster"
        self._log = folder / "postgres.log"
        self._fsync = "on" if fsync else "off"
        self.port = free_port("127.0.0.1")
        self._server: subprocess.Popen[bytes] | None = None

    def url(self, *, port: int | None = None) -> str:
        """As SQLAlchemy writes it, with a password that nobody asks for; `port` is of a wire to it."""
        return f"postgresql+psycopg://penumbra:unasked@127.0.0.1:{port or self.port}/postgres"

    def create(self) -> None:
        """Make the cluster."""
        command = [program("initdb"), "-D", self._data, "-U", "penumbra", "-A", "trust"]
        command += ["-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_owner())  # type: ignore[call-overload]

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            PostgresMissing: its programs are not installed.
            TimeoutError: it does not answer.
        """
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": self._fsync}
        command = [program("postgres"), "-D", self._data, "-p", str(self.port)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **_owner())  # type: ignore[call-overload]
        self._wait_until_it_answers()

    def stop(self, ending: Ending = "fast") -> None:
        """End the server: `fast` cuts connections in order, `immediate` leaves a recovery to the next start."""
        if self._server is not None:
            self.go_on()
            self._server.send_signal(ENDINGS[ending])
            self._server.wait(START_S)
            self._server = None

    def hang(self) -> None:
        """SIGSTOP to all its processes: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT after `hang`."""
        self._signal(signal.SIGCONT)

    def ask(self, statement: str) -> None:
        """One statement outside a transaction."""
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._server is not None and self._server.poll() is None:
            with suppress(OperationalError):
                return self.ask("SELECT 1")
            time.sleep(0.1)
        raise TimeoutError("PostgreSQL does not answer")

    def _signal(self, number: signal.Signals) -> None:
        assert self._server is not None  # noqa: S101 - for the type checker
        if self._server.poll() is not None:  # its number may be another's by now
            return
        self._server.send_signal(number)  # first, so that it starts no more of them
        for child in children_of(self._server.pid):
            with suppress(ProcessLookupError):
                os.kill(child, number)


@contextmanager
def running_postgres(*, fsync: bool = True) -> Iterator[Postgres]:
    """A server for the length of a block; all it wrote goes with it.

    Raises:
        PostgresMissing: its programs are not installed.
    """
    program("postgres")
    with tempfile.TemporaryDirectory(prefix="penumbra-postgres-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, OWNER, OWNER)
        postgres = Postgres(Path(folder), fsync=fsync)
        postgres.create()
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop("immediate")


def program(name: str) -> Path:
    """Where one of PostgreSQL's programs lies: on the path, else Debian's newest version.

    Raises:
        PostgresMissing: nowhere.
    """
    versions = sorted(Path(PROGRAMS).glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (versions[-1] if versions else None)
    if found is None:
        raise PostgresMissing
    return Path(found)


def _owner() -> dict[str, object]:
    """What makes a program run as PostgreSQL's user; nothing where we are not root."""
    return {"user": OWNER, "group": OWNER, "extra_groups": []} if os.getuid() == 0 else {}
