"""Which SQLite library is used: the newest one at hand.

A write-ahead log makes a commit one flush instead of four, but SQLite before 3.51.3 may spoil one that two
connections write to (sqlite.org/wal.html, "the WAL-reset bug"), and what an operating system ships is often older.
`pysqlite3` brings its own.
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


def journal_mode(driver: ModuleType) -> Literal["WAL", "TRUNCATE"]:
    """The fastest journal that loses nothing with this library."""
    return "WAL" if driver.sqlite_version_info >= WAL_IS_SAFE_FROM else "TRUNCATE"
