"""The database: SQLite in the data folder or what the settings name; one way to read, one to write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from service.file_lock import only_one
from service.postgresql import postgresql_engine, wait_for_turn
from service.settings import ServiceSettings
from service.sqlite_driver import journal_mode, newest_sqlite

BUSY_TIMEOUT_S = 10.0
NEWEST_REVISION = "0013"


class Database:
    """An engine and its two kinds of session."""

    def __init__(self, url: str) -> None:
        self.engine = _make_engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._read_only = self.engine.execution_options(read_only=True)
        self._readers = sessionmaker(self._read_only, expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; commits at the end, rolls back on an exception.

        One writer at a time, in PostgreSQL as in SQLite: whoever changes a job takes the change counter too,
        and locks taken in several orders would deadlock. Writes are short and few.
        """
        with self._sessions.begin() as session:
            self._wait_for_turn(session.connection())
            yield session

    @contextmanager
    def write_rows(self) -> Iterator[Connection]:
        """As `write`, without the mapping of rows to objects, which costs more than the rows: for intake."""
        with self.engine.begin() as connection:
            self._wait_for_turn(connection)
            yield connection

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with self._readers() as session:
            yield session

    @contextmanager
    def read_rows(self) -> Iterator[Connection]:
        """As `read`, without the mapping of rows to objects."""
        with self._read_only.connect() as connection:
            yield connection

    def _wait_for_turn(self, connection: Connection) -> None:
        if self.engine.dialect.name == "postgresql":
            wait_for_turn(connection, BUSY_TIMEOUT_S)

    def dispose(self) -> None:
        """Close all connections (before a fork, at the end)."""
        self.engine.dispose()


def open_database(settings: ServiceSettings) -> Database:
    """Bring the tables up to date and open the database."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.resolved_database_url)
    if revision_of(database) != NEWEST_REVISION:
        migrate(settings)
    return database


def revision_of(database: Database) -> str | None:
    """The state of the tables, asked without Alembic, which takes a second to import."""
    try:
        with database.read() as session:
            found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    except (OperationalError, ProgrammingError):  # no such table
        return None


def migrate(settings: ServiceSettings) -> None:
    """Create the tables or bring them up to date. One process at a time does it, the others wait."""
    from alembic import command  # slow to import, and needed once
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = settings.resolved_database_url
    with only_one(settings.data_dir / ".migrate.lock", wait=True):
        command.upgrade(config, "head")


def _make_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return postgresql_engine(url)
    engine = create_engine(url, module=newest_sqlite(), connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
    connection.isolation_level = None  # the driver must not open transactions by itself
    for pragma in (f"journal_mode={journal_mode(newest_sqlite())}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
