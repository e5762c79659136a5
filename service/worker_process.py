"""A Celery worker with the database's ledger in its hands. Its parent process never imports torch."""

import fcntl
import os
import socket
from pathlib import Path
from typing import IO, Literal

import structlog

from service.database import Database
from service.ledger import SqlLedger
from service.settings import ServiceSettings

WorkerQueue = Literal["gpu", "delivery"]

MAX_SLOTS = 64

log = structlog.get_logger(__name__)


def run_worker(settings: ServiceSettings, queue: WorkerQueue = "gpu") -> None:
    """Work on a queue until the process is told to end. SIGTERM hands a running job back within seconds."""
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # billiard reads it when Celery is imported, a line further on
    from celery import signals

    from service.database import open_database
    from worker.celery_app import create_celery
    from worker.tasks import Bench, add_tasks

    signals.setup_logging.connect(_keep_our_logging)
    name, lock = _take_slot(settings.data_dir / "locks", f"{socket.gethostname()}-{queue}")
    open_database(settings).dispose()  # brings the tables up to date; no connection may be open over the fork
    _hand_back(settings, name, count_attempt=True)
    signals.worker_process_init.connect(lambda **_: _show(settings, name, queue), weak=False)
    app = create_celery(settings)
    add_tasks(app, Bench(settings, name, lambda: SqlLedger(settings, _connect(settings))))
    worker = app.Worker(
        hostname=f"{queue}@{name}",
        queues=[queue],
        pool="prefork",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    try:
        worker.start()
    finally:
        _hand_back(settings, name, count_attempt=False)
        lock.close()


def _connect(settings: ServiceSettings) -> Database:
    return Database(settings.resolved_database_url)


def _show(settings: ServiceSettings, name: str, queue: WorkerQueue) -> None:
    """In the child, which does not fork: show that this worker lives."""
    from service.presence import Presence

    Presence(_connect(settings), name, queue).start()


def _hand_back(settings: ServiceSettings, name: str, *, count_attempt: bool) -> None:
    """Queue again what this worker's name still holds: its processes are gone, or never were."""
    database = _connect(settings)
    count = SqlLedger(settings, database).abandon(name, count_attempt=count_attempt)
    database.dispose()
    if count:
        log.info("jobs handed back", worker=name, count=count)


def _take_slot(folder: Path, stem: str) -> tuple[str, IO[str]]:
    """A name that no other living worker has.

    The lock is inherited by the pool's processes, so a name is free only when all processes of its last
    holder are gone, and what it held can be queued again at once.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for slot in range(1, MAX_SLOTS + 1):
        name = f"{stem}-{slot}"
        lock = (folder / f"{name}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return name, lock
    raise RuntimeError(f"{MAX_SLOTS} workers for one queue on this host")


def _keep_our_logging(**_arguments: object) -> None:
    """Celery configures logging unless somebody listens to its signal."""
