"""What a system stands on gives way: broker, database, disk (P2, P6, P7)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from sqlalchemy import text

from service.broker import EmbeddedBroker
from service.faults.account import Account, count_lost, settle
from service.faults.clients import Sender
from service.faults.needs import need_mounts
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually

SLICES, SERIES = 8, 3
OUT_OF_RESOURCES = 0xA700
LOCKED_S = 14.0  # longer than a connection waits for the lock


def push_while(system: System, fault: Callable[[System], None], mend: Callable[[System], None]) -> Account:
    """Three series: one before the fault, one during it, one after."""
    sender, sent = Sender("TPS"), {}
    for number, between in enumerate((fault, mend, None)):
        series = make_series(SLICES, seed=number)
        sender.send_until_taken(series, system.dicom_port)
        sent[uid_of(series)] = SLICES
        if between is not None:
            between(system)
    return settle(system, sender, sent)


def stop_broker(system: System) -> None:
    """SIGSTOP: it hangs, connections stay."""
    os.kill(eventually(lambda: system.pid("broker"), what="the broker"), signal.SIGSTOP)


def continue_broker(system: System) -> None:
    """SIGCONT."""
    pid = system.pid("broker")
    if pid is not None:
        os.kill(pid, signal.SIGCONT)


def kill_broker(system: System) -> None:
    """Kill it with -9; the supervisor starts another one."""
    system.kill("broker")


def empty_broker(system: System) -> None:
    """FLUSHALL: every message is gone, and Celery's book of them."""
    broker = EmbeddedBroker(system.settings)

    def flushed() -> bool:
        with suppress(redis.RedisError):
            return bool(broker._client().flushall())
        return False

    eventually(flushed, what="an empty broker")


def lock_database(system: System) -> tuple[int, Account]:
    """Hold the database's write lock for longer than anyone waits; statuses 0xA700 meanwhile, and the account."""
    sender, series = Sender("TPS"), make_series(2)
    with system.database.engine.connect() as holder:
        holder.execute(text("SELECT 1"))  # begins with BEGIN IMMEDIATE: nobody else can write
        deadline = time.monotonic() + LOCKED_S
        while time.monotonic() < deadline and not sender.refused.get(OUT_OF_RESOURCES):
            sender.send(series[:1], system.dicom_port)
        holder.rollback()
    sender.send_until_taken(series, system.dicom_port)
    account = settle(system, sender, {uid_of(series): 2})
    return sender.refused.get(OUT_OF_RESOURCES, 0), account


def fill_disk(system: System, ballast: Path) -> tuple[int, int, int, Account]:
    """Fill the data folder's disk while series arrive, then free it.

    Returns:
        How many instances were refused with 0xA700, how many with another status, partial files left, the account.
    """
    sender, first, second = Sender("TPS"), make_series(4, matrix=256), make_series(4, matrix=256)
    sender.send_until_taken(first, system.dicom_port)
    _fill(ballast)
    sender.send(second, system.dicom_port)
    partial = len(list(system.settings.inbox_dir.glob("*/.*.tmp")))
    lost = count_lost(system, sender.answered)
    refused = dict(sender.refused)
    ballast.unlink()
    sender.send_until_taken(second, system.dicom_port)
    sent = {str(each[0].SeriesInstanceUID): len(each) for each in (first, second)}
    account = settle(system, sender, sent)
    a700 = refused.pop(OUT_OF_RESOURCES, 0)
    return a700, sum(refused.values()) + lost, partial, account


@contextmanager
def small_disk(folder: Path, megabytes: int = 120) -> Iterator[Path]:
    """A file system of so many megabytes, in memory.

    Raises:
        RightsMissing: we may not mount it.
    """
    need_mounts()
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb") as stream, suppress(OSError):
        while True:
            stream.write(bytes(2**16))
            stream.flush()
