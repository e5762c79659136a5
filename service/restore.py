"""Puts a backup back, and then brings database and data folder together."""

import time
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import DatabaseError

from service.backup import Manifest, put_back_database, put_back_files, read_manifest
from service.database import Database, open_database
from service.figure_records import WorkerRecord
from service.file_lock import Busy, only_one
from service.presence import GONE_AFTER_S
from service.records import JobRecord
from service.recovery import Recovered, Recovery
from service.retention import lock_path
from service.settings import ServiceSettings
from worker.errors import Failed

log = structlog.get_logger(__name__)


class NotEmpty(Failed):
    """There are jobs in the database that would be lost."""

    code = "not-empty"
    default_remedy = "Back that up first; then run the command with --replace."


class StillRunning(Failed):
    """Something still works on the data folder or the database."""

    code = "still-running"
    default_remedy = "Stop Penumbra on every host, wait a minute, then run the command again."


def restore(
    settings: ServiceSettings, folder: Path, *, replace: bool = False
) -> tuple[Manifest, int, Recovered]:
    """Put the backup's database in place, add the files that are missing, take up what the data folder knows besides.

    Returns:
        The backup's manifest, how many files were put back, and what was taken up.

    Raises:
        BackupFailed: the backup is not whole, or the database's tool failed.
        StillRunning: a part of Penumbra runs.
        NotEmpty: the database holds jobs, and `replace` is False.
    """
    manifest = read_manifest(folder)
    with _nobody_else(settings):
        _look_before(settings, replace=replace)
        put_back_database(settings, folder, manifest)
        files = put_back_files(settings, folder)
        return manifest, files, _recover(settings)


def recover(settings: ServiceSettings) -> Recovered:
    """Bring database and data folder together, after the database was put back by other means.

    Raises:
        StillRunning: a part of Penumbra runs.
    """
    with _nobody_else(settings):
        _look_before(settings, replace=True)
        return _recover(settings)


def _recover(settings: ServiceSettings) -> Recovered:
    database = open_database(settings)
    try:
        return Recovery(settings, database).run()
    finally:
        database.dispose()


def _nobody_else(settings: ServiceSettings) -> ExitStack:
    """Hold what `penumbra serve` holds, and keep retention and backups out."""
    stack = ExitStack()
    try:
        for path in (settings.data_dir / ".serve.lock", lock_path(settings)):
            stack.enter_context(only_one(path))
    except Busy as error:
        stack.close()
        raise StillRunning("Penumbra runs on this data folder, or a backup is being made.") from error
    return stack


def _look_before(settings: ServiceSettings, *, replace: bool) -> None:
    """Refuse where workers live, or jobs would be lost. A database that cannot be read holds nothing to lose."""
    database = Database(settings.resolved_database_url)
    living = jobs = 0
    with suppress(DatabaseError), database.read() as session:
        alive = WorkerRecord.seen_at > time.time() - GONE_AFTER_S
        jobs = session.scalar(select(func.count()).select_from(JobRecord)) or 0
        living = session.scalar(select(func.count()).select_from(WorkerRecord).where(alive)) or 0
    database.dispose()
    if living:
        raise StillRunning(f"{living} workers were alive within the last minute.")
    if jobs and not replace:
        raise NotEmpty(f"The database holds {jobs} jobs.")
