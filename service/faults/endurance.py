"""A steady stream of series through a whole system: what grows, and does it go on growing (P21)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import exists, select

from service.faults.account import Account, settle
from service.faults.clients import Receiver, Sender
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually, running_system
from service.faults.usage import Held, Usage, usage_of
from service.records import DeliveryRecord

SLICES = 20
WARMING_UP = 5
"""Series before the first look: caches are filled and modules imported by then."""

PAUSE_S = 1.0
TOLERATED = Held(memory=16 * 2**20, descriptors=8, threads=8)
"""So much more in the second half is no growth: an allocator's steps, a pool's connections."""

LEVELS_OFF = 0.5
"""What grows less in the second half than so much of what it grew in the first comes to an end."""

DISK_RATIO, DISK_BYTES = 1.5, 8 * 2**20
"""A series may take so much more room in the second half; and so many bytes come and go with logs and journals."""


@dataclass(frozen=True)
class Endurance:
    """What came of it: the account, and the system at rest at the start, after half the time and at the end.

    Attributes:
        minutes: how long series were sent.
        series: how many came between the looks.
    """

    minutes: float
    account: Account
    looks: tuple[Usage, Usage, Usage]
    series: tuple[int, int]

    def findings(self) -> Iterator[str]:
        """What grows without end, and who died and came back, in words; nothing if all is well."""
        yield from self._growing()
        yield from self._replaced()

    def _growing(self) -> Iterator[str]:
        start, half, end = (look.processes for look in self.looks)
        for part in sorted(start.keys() & half.keys() & end.keys()):
            for what, tolerated in zip(Held._fields, TOLERATED, strict=True):
                before, middle, after = (getattr(each[part], what) for each in (start, half, end))
                if after - middle > max(tolerated, LEVELS_OFF * (middle - before)):
                    yield f"{what} of {part}: {before}, {middle}, {after}"
        if len(end) > max(len(half), len(start)):
            yield f"processes: {len(start)}, {len(half)}, {len(end)}"
        first, second = self.disk_per_series
        if (second - DISK_RATIO * first) * self.series[1] > DISK_BYTES:
            yield f"disk per series: {first:.0f}, {second:.0f} bytes"

    def _replaced(self) -> Iterator[str]:
        """A process that is another one than before, or gone: whatever it had gathered went with it."""
        pids = [look.pids for look in self.looks]
        for part in sorted(pids[0]):
            found = [each.get(part) for each in pids]
            if len(set(found)) > 1:
                yield f"{part} did not live through it: process {', '.join(map(str, found))}"

    @property
    def disk_per_series(self) -> tuple[float, float]:
        """Bytes that a series added, in each half."""
        start, half, end = (look.disk_bytes for look in self.looks)
        return (half - start) / max(1, self.series[0]), (end - half) / max(1, self.series[1])

    @property
    def kept(self) -> bool:
        """Nothing grows without end, nothing died, and nothing was lost or doubled."""
        return self.account.kept and not any(self.findings())

    def rows(self) -> list[list[str]]:
        """One row per process: memory in MB, descriptors and threads, each at the start, half and end."""
        looks = [look.processes for look in self.looks]
        parts = sorted(set.intersection(*(set(look) for look in looks)))
        return [[part, *_cells([look[part] for look in looks])] for part in parts]

    def disk_rows(self) -> list[list[str]]:
        """One row per folder of the data folder: MB at the start, half and end."""
        places = sorted(set().union(*(look.disk for look in self.looks)))
        return [[each, *(f"{look.disk.get(each, 0) / 1e6:.1f}" for look in self.looks)] for each in places]

    def __str__(self) -> str:
        """The figures in words."""
        first, second = self.disk_per_series
        most = ", ".join(f"{what} {self._most(what)}" for what in Held._fields)
        count = len(self.looks[2].processes)
        found = (
            "; ".join(self.findings()) or f"nothing grows without end, all {count} processes lived through it"
        )
        return (
            f"{self.minutes:g} minutes: {self.account}; most that one process gained in the second half: {most}; "
            f"disk {first / 1e3:.0f} kB a series, then {second / 1e3:.0f}; {found}"
        )

    def _most(self, what: str) -> str:
        half, end = self.looks[1].processes, self.looks[2].processes
        gained = max(
            getattr(end[part], what) - getattr(half[part], what) for part in half.keys() & end.keys()
        )
        return f"{gained / 1e6:+.1f} MB" if what == "memory" else f"{gained:+d}"


def endure(folder: Path, minutes: float) -> Endurance:
    """Send series for so long, with a rest after half of it and at the end."""
    receiver, sender = Receiver("TPS"), Sender("TPS")
    sent: dict[str, int] = {}
    with receiver.listening(), running_system(folder, {"TPS": receiver.port}) as system:
        stream = _Stream(system, sender, receiver, sent)
        looks = [stream.flow(0.0)]
        counts = [len(sent)]
        for _ in range(2):
            looks.append(stream.flow(30 * minutes))
            counts.append(len(sent))
        account = settle(system, sender, sent, receiver)
    series = (counts[1] - counts[0], counts[2] - counts[1])
    return Endurance(minutes, account, (looks[0], looks[1], looks[2]), series)


@dataclass(frozen=True)
class _Stream:
    system: System
    sender: Sender
    receiver: Receiver
    sent: dict[str, int]

    def flow(self, seconds: float) -> Usage:
        """Send for so long, and `WARMING_UP` series at least; look when all has come to its end."""
        deadline, first = time.monotonic() + seconds, len(self.sent)
        while time.monotonic() < deadline or len(self.sent) < first + WARMING_UP:
            series = make_series(SLICES, seed=len(self.sent))
            self.sender.send_until_taken(series, self.system.dicom_port)
            self.sent[uid_of(series)] = SLICES
            self._ask_for_jobs()
            time.sleep(PAUSE_S)
        settle(self.system, self.sender, self.sent, self.receiver)
        eventually(lambda: not self._is_sending(), what="deliveries that are noted")
        return usage_of(self.system)

    def _ask_for_jobs(self) -> None:
        """As a page that is open somewhere does."""
        httpx.get(self.system.jobs_url, timeout=60, trust_env=False).raise_for_status()

    def _is_sending(self) -> bool:
        with self.system.database.read() as session:
            return bool(session.scalar(select(exists().where(DeliveryRecord.state != "delivered"))))


def _cells(looks: list[Held]) -> list[str]:
    memory = " ".join(f"{held.memory / 1e6:.0f}" for held in looks)
    others = (" ".join(str(getattr(held, what)) for held in looks) for what in Held._fields[1:])
    return [memory, *others]
