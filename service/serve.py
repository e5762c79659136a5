"""The embedded system: broker, API, listener, reconciler and workers as one tree of processes.

A process each, because each must be able to die alone: the listener faces the network, the worker a GPU, the
reconciler a broker that may hang. None keeps anything in memory that the next one would miss.
"""

import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import structlog

from service.broker import EmbeddedBroker
from service.database import open_database
from service.gate import Gate
from service.inbox import Inbox
from service.probes import api_answers, free_port, listener_answers
from service.settings import ServiceSettings
from service.signals import stop_on_signal
from service.supervisor import ChildSpec, Supervisor
from worker.errors import PenumbraError
from worker.job_folder import write_atomically

STATE_NAME = "serve.json"
READY_TIMEOUT_S = 120.0

log = structlog.get_logger(__name__)


class AlreadyServed(PenumbraError):
    """Another `penumbra serve` works on this data folder."""

    code = "already-served"
    default_remedy = "Stop it first, or give another folder with --data."


class NotReady(PenumbraError):
    """A part of the system did not come up."""

    code = "not-ready"
    default_message = "A part of the system did not start."


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What `serve.json` says about a running system."""

    pid: int
    api_port: int
    dicom_port: int
    ae_title: str
    ready: bool
    """All parts answer. While one is started again it stays true."""

    children: dict[str, int]


def serve(settings: ServiceSettings, *, on_ready: Callable[[Serving], None] = lambda _: None) -> None:
    """Run the whole system in the foreground until SIGTERM or Ctrl-C. Call it from the main thread.

    Raises:
        AlreadyServed: another one runs on the same data folder.
        NotReady: a part did not start; the log folder says why.
    """
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(settings.data_dir):
        stop = threading.Event()
        stop_on_signal(stop)
        settings, broker = _complete(settings)
        database = open_database(settings)
        Gate(settings, database).refuse_an_open_door()
        Inbox(settings, database).sweep_leftovers()
        database.dispose()
        state = _StateFile(settings)
        supervisor = Supervisor(
            _children(settings, broker),
            environment={**os.environ, **settings.environment()},
            logs_dir=settings.logs_dir,
            on_change=state.write,
        )
        try:
            if not supervisor.start(stop, READY_TIMEOUT_S) and not stop.is_set():
                raise NotReady(remedy=f"Look into {settings.logs_dir}.")
            if not stop.is_set():
                on_ready(state.note_ready(supervisor.pids()))
            supervisor.watch(stop)
        finally:
            supervisor.stop()
            state.remove()


def _complete(settings: ServiceSettings) -> tuple[ServiceSettings, EmbeddedBroker | None]:
    """Fill in what is only known at run time: free ports, and the embedded broker's address."""
    broker = None
    found: dict[str, object] = {}
    if settings.broker_url is None:
        broker = EmbeddedBroker(settings)
        found["broker_url"] = broker.url
    if settings.api_port == 0:
        found["api_port"] = free_port(settings.api_host)
    if settings.dicom_port == 0:
        found["dicom_port"] = free_port(settings.dicom_host)
    return settings.model_copy(update=found), broker


def _children(settings: ServiceSettings, broker: EmbeddedBroker | None) -> list[ChildSpec]:
    """In the order of starting; they end in reverse, so the workers first and the broker last."""
    children = []
    if broker is not None:
        command = broker.prepare()
        broker.stop_leftover()
        lock = str(settings.data_dir / "redis" / ".lock")
        children.append(
            ChildSpec(
                name="broker",
                first=True,
                command=_python("--lock", lock, "exec", *command),
                ready=broker.answers,
                alive=broker.answers,
            )
        )
    children += [
        ChildSpec(
            name="api",
            command=_python("api"),
            ready=lambda: api_answers(settings),
            alive=lambda: api_answers(settings),
        ),
        ChildSpec(
            name="listener",
            command=_python("listener"),
            ready=lambda: listener_answers(settings),
            alive=lambda: listener_answers(settings),
        ),
        ChildSpec(name="reconciler", command=_python("reconciler")),
        ChildSpec(name="delivery", command=_python("delivery")),
        ChildSpec(name="worker", command=_python("worker")),
    ]
    return children


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "service.process", "--parent", str(os.getpid()), *arguments)


class _StateFile:
    """`serve.json`: where a running system is to be found."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._path = settings.data_dir / STATE_NAME
        self._ready = False

    def note_ready(self, children: dict[str, int]) -> Serving:
        self._ready = True
        self.write(children)
        return self._serving(children)

    def _serving(self, children: dict[str, int]) -> Serving:
        return Serving(
            pid=os.getpid(),
            api_port=self._settings.api_port,
            dicom_port=self._settings.dicom_port,
            ae_title=self._settings.ae_title,
            ready=self._ready,
            children=children,
        )

    def write(self, children: dict[str, int]) -> None:
        write_atomically(self._path, json.dumps(asdict(self._serving(children)), indent=2).encode())

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _only_one(data_dir: Path) -> IO[str]:
    """Hold the data folder for this process's life; the lock goes with the process, however it ends."""
    lock = (data_dir / ".serve.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise AlreadyServed(f"The data folder {data_dir} is in use by process {holder}.") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
