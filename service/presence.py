"""A worker shows that it lives, and how its GPUs are: one row in the database, renewed while its process lives.

It runs as a thread of the process that computes, never of Celery's parent: that one forks.
"""

import socket
import threading
import time

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.figure_records import WorkerRecord
from service.gpus import read_gpus

SHOWN_EVERY_S = 15.0
GONE_AFTER_S = 60.0
FORGOTTEN_AFTER_S = 24 * 3600.0

log = structlog.get_logger(__name__)


class Presence:
    """Shows one worker."""

    def __init__(self, database: Database, name: str, queue: str) -> None:
        self._database = database
        self._name = name
        self._queue = queue

    def start(self) -> threading.Thread:
        """Show it from now on, for as long as this process lives."""
        thread = threading.Thread(target=self._run, name="presence", daemon=True)
        thread.start()
        return thread

    def show(self) -> None:
        """Renew the row, and drop those of workers that have been gone for a day."""
        now = time.time()
        row = WorkerRecord(
            name=self._name, host=socket.gethostname(), queue=self._queue, seen_at=now, devices=read_gpus()
        )
        with self._database.write() as session:
            session.merge(row)
            session.execute(delete(WorkerRecord).where(WorkerRecord.seen_at < now - FORGOTTEN_AFTER_S))

    def _run(self) -> None:
        while True:
            try:
                self.show()
            except SQLAlchemyError as error:
                log.warning("presence not shown", cause=type(error).__name__)
            time.sleep(SHOWN_EVERY_S)
