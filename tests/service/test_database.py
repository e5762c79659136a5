import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

import service.database
from service.database import NEWEST_REVISION, open_database
from service.records import ChangeCounter, Record
from service.settings import ServiceSettings
from service.sqlite_driver import newest_sqlite
from service.transitions import next_version


def test_tables_are_made_at_first_opening_and_match_the_records(tmp_path):
    database = open_database(ServiceSettings(data_dir=tmp_path))
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Record.metadata) == []
    database.dispose()


def test_newest_revision_is_the_migrations_head():
    config = Config()
    folder = Path(service.database.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_current_head() == NEWEST_REVISION


def test_sqlite_waits_for_locks_and_flushes_every_commit(database):
    with database.read() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2
        expected = "wal" if newest_sqlite().sqlite_version_info >= (3, 51, 3) else "truncate"
        assert session.scalar(text("PRAGMA journal_mode")) == expected
        assert session.scalar(text("PRAGMA busy_timeout")) >= 5000
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_writers_take_turns_and_versions_have_no_gap(database):
    taken = []

    def write():
        for _ in range(10):
            with database.write() as session:
                taken.append(next_version(session))
                time.sleep(0.001)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(1, 41))


def test_failed_transaction_leaves_nothing(database):
    with pytest.raises(RuntimeError), database.write() as session:
        next_version(session)
        raise RuntimeError
    with database.read() as session:
        assert session.scalar(select(ChangeCounter.value)) == 0
