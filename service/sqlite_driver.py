"""Which SQLite library is used: the newest one at hand.

A write-ahead log makes a commit one flush instead of four, but SQLite before 3.51.3 may spoil one that two
connections write to (sqlite.org/wal.html, "the WAL-reset bug"), and what an operating system ships is often older.
`pysqlite3` brings its own.

Within one process a file must only be opened through this one library: two copies of SQLite do not know of each
other's locks, and closing a file in one drops those of the other (sqlite.org/howtocorrupt.html, 2.2.1).
"""

import sqlite3
from importlib import import_module
from types import ModuleType
from typing import Literal

WAL_IS_SAFE_FROM = (3, 51, 3)


def newest_sqlite() -> ModuleType:
    """The driver (PEP 249) with the newest library: Python's own, or `pysqlite3` where that is installed."""
    try:
        bundled = import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3
    return max(sqlite3, bundled, key=lambda driver: driver.sqlite_version_info)


def driver_of(url: str) -> ModuleType | None:
    """The driver for an SQLAlchemy URL; None means the database's usual one."""
    return newest_sqlite() if url.startswith("sqlite") else None


def journal_mode(driver: ModuleType) -> Literal["WAL", "TRUNCATE"]:
    """The fastest journal that loses nothing with this library."""
    return "WAL" if driver.sqlite_version_info >= WAL_IS_SAFE_FROM else "TRUNCATE"
