"""A backup is one folder: the database as one file, the data folder's files, and a manifest that is written last.

Database first, files second: files are on the disk before the database knows of them, and retention waits
meanwhile. So whatever the saved database names is there; what came later does no harm (`service/recovery.py`).
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import URL, make_url

from service import audit
from service.audit import Action
from service.database import NEWEST_REVISION, Database, open_database
from service.file_lock import only_one
from service.retention import lock_path
from service.settings import ServiceSettings
from service.sqlite_driver import newest_sqlite
from worker.errors import Failed
from worker.job_folder import write_atomically

MANIFEST_NAME = "backup.json"
DATA_NAME = "data"
SAVED = ("inbox", "jobs", "quarantine")
SCRATCH = ("attempt-", ".")  # names that begin so are somebody's work under way
DATABASE_NAMES = {"sqlite": "database.sqlite", "postgresql": "database.pgdump"}

log = structlog.get_logger(__name__)


class BackupFailed(Failed):
    """The backup could not be made or read."""

    code = "backup-failed"
    default_remedy = "Look at the message, mend it, and run the command again."


class Manifest(BaseModel):
    """What `backup.json` says."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    penumbra: str
    created_at: float
    kind: Literal["sqlite", "postgresql"]
    revision: str
    """State of the tables."""
    sha256: str
    """Of the database's file."""
    files: int
    bytes: int


def back_up(settings: ServiceSettings, folder: Path, *, with_files: bool = True) -> Manifest:
    """Save database and files into `folder`, while everything runs. The same folder again copies what is new.

    Files are hard links where the folder lies on the same file system, else copies.

    Raises:
        BackupFailed: the database's own tool failed, or the disk is full.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = open_database(settings)
    try:
        with only_one(lock_path(settings), wait=True):
            (folder / MANIFEST_NAME).unlink(missing_ok=True)  # until it is whole again, it is none
            with database.write() as session:
                audit.record(session, Action.BACKED_UP, subject=str(folder))
            saved = _save_database(settings, database, folder)
            files = list(_save_files(settings.data_dir, folder / DATA_NAME)) if with_files else []
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupFailed(f"The backup could not be made: {_words(error)}.") from error
    finally:
        database.dispose()
    manifest = Manifest(
        penumbra=version("penumbra-rt"),
        created_at=time.time(),
        kind=_kind(settings),
        revision=NEWEST_REVISION,
        sha256=sha256_of(saved),
        files=len(files),
        bytes=sum(files) + saved.stat().st_size,
    )
    write_atomically(folder / MANIFEST_NAME, (manifest.model_dump_json(indent=2) + "\n").encode())
    log.info("backed up", count=manifest.files, bytes=manifest.bytes)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a whole backup whose database file is what was written.

    Raises:
        BackupFailed: no backup, one that was cut off, or a changed file.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise BackupFailed(f"{folder} holds no whole backup.", remedy="Take an older one.") from error
    if sha256_of(folder / DATABASE_NAMES[manifest.kind]) != manifest.sha256:
        raise BackupFailed("The backup's database file has been changed.", remedy="Take an older one.")
    return manifest


def put_back_database(settings: ServiceSettings, folder: Path, manifest: Manifest) -> None:
    """Replace the database by the saved one.

    Raises:
        BackupFailed: it is of the other kind, or the database's own tool failed.
    """
    if manifest.kind != _kind(settings):
        raise BackupFailed(f"The backup is of a {manifest.kind} database; the settings name another kind.")
    source = folder / DATABASE_NAMES[manifest.kind]
    try:
        if manifest.kind == "postgresql":
            url = make_url(settings.resolved_database_url)
            _run_tool(
                "pg_restore", ["--clean", "--if-exists", "--no-owner", "--single-transaction"], url, source
            )
        else:
            _replace_sqlite(Path(make_url(settings.resolved_database_url).database or ""), source)
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupFailed(f"The database could not be put back: {_words(error)}.") from error


def put_back_files(settings: ServiceSettings, folder: Path) -> int:
    """Copy back the files that are not there; returns how many. What is newer stays."""
    saved = folder / DATA_NAME
    missing = [p for p in _files_below(saved) if not (settings.data_dir / p.relative_to(saved)).exists()]
    for path in missing:
        _link_or_copy(path, settings.data_dir / path.relative_to(saved), link=False)
    return len(missing)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kind(settings: ServiceSettings) -> Literal["sqlite", "postgresql"]:
    return "sqlite" if settings.resolved_database_url.startswith("sqlite") else "postgresql"


def _save_database(settings: ServiceSettings, database: Database, folder: Path) -> Path:
    """Write beside, then rename: a backup that was whole stays whole until the next one is."""
    kind = _kind(settings)
    target = folder / DATABASE_NAMES[kind]
    beside = target.with_suffix(".tmp")
    beside.unlink(missing_ok=True)
    if kind == "sqlite":
        connection = (
            database.engine.raw_connection()
        )  # SQLAlchemy's own begins a transaction, which VACUUM refuses
        try:
            connection.cursor().execute("VACUUM INTO ?", (str(beside),))
        except newest_sqlite().Error as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
    else:
        url = make_url(settings.resolved_database_url)
        _run_tool("pg_dump", ["--format=custom", "--no-owner", f"--file={beside}"], url)
    beside.chmod(0o600)
    with beside.open("rb") as stream:
        os.fsync(stream.fileno())
    beside.replace(target)
    return target


def _run_tool(name: str, options: list[str], url: URL, *paths: Path) -> None:
    """One of PostgreSQL's programs; the password goes by its file, not by the process list."""
    escaped = (url.password or "").replace("\\", "\\\\").replace(":", "\\:")
    with tempfile.NamedTemporaryFile("w", prefix="penumbra-", suffix=".pgpass") as passfile:  # mode 0600
        passfile.write(f"*:*:*:*:{escaped}\n")
        passfile.flush()
        plain = url.set(drivername="postgresql", password=None).update_query_dict({"passfile": passfile.name})
        command = [name, "--no-password", *options, f"--dbname={plain.render_as_string()}", *map(str, paths)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _replace_sqlite(target: Path, source: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.restored")
    shutil.copyfile(source, beside)
    beside.chmod(0o600)
    with beside.open("rb") as stream:
        os.fsync(stream.fileno())
    for suffix in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    beside.replace(target)


def _save_files(data_dir: Path, target: Path) -> Iterator[int]:
    """Save every file that is not saved yet; yields the size of each file of the backup."""
    for name in SAVED:
        for path in _files_below(data_dir / name):
            try:
                status = path.stat()
                saved = target / path.relative_to(data_dir)
                if not _is_same(saved, status):
                    _link_or_copy(path, saved, link=True)
            except FileNotFoundError:  # a result that was replaced meanwhile
                continue
            yield status.st_size


def _files_below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(SCRATCH)]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _is_same(saved: Path, status: os.stat_result) -> bool:
    """Files are never changed in place, so size and time tell."""
    if not saved.exists():
        return False
    there = saved.stat()
    return (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def _link_or_copy(source: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if link:
        try:
            target.hardlink_to(source)
        except OSError:  # another file system
            shutil.copy2(source, target)
        return
    beside = target.with_name(f".{target.name}.restored")
    shutil.copy2(source, beside)
    beside.replace(target)


def _words(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = bytes(error.stderr or b"").decode(errors="replace").strip().splitlines()
        return f"{error.cmd[0]} says: {lines[-1] if lines else error.returncode}"
    return str(error)
