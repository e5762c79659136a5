"""The clock is set by hours while series arrive, are contoured and go back (P2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import func, select

from service.faults.account import Account, jobs_of, passes_of, settle
from service.faults.clients import Receiver, Sender
from service.faults.moved_clock import MovedClock
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually, running_system
from service.records import DeliveryRecord
from service.roles import Role
from service.tokens import Tokens

SLICES = 4
HOUR_S = 3600.0
MOVES_H = (5, -10)
"""Forward, then back behind where it was."""


@dataclass
class ClockRun:
    """What came of it.

    Attributes:
        account: of all series, those under way when the clock was set and those sent after.
        attempts: of all jobs, at most. More than one was computed twice.
        objects: that the node received for one series, at most.
        doors: HTTP statuses of a token that is valid for weeks and of one for an hour, after each move.
    """

    account: Account
    attempts: int
    objects: int
    doors: list[tuple[int, int]]

    @property
    def kept(self) -> bool:
        """Whether nothing was lost or done twice, and the right tokens opened."""
        return self.account.kept and (self.attempts, self.objects) == (1, 1) and self.doors[0] == (200, 401)

    def __str__(self) -> str:
        """The figures in words."""
        return (
            f"{self.account}; {self.attempts} attempt at most to compute a job, {self.objects} object at most per "
            f"series at the node; after the jump forward a token of an hour is answered {self.doors[0][1]}, "
            f"one of a month {self.doors[0][0]}"
        )


@dataclass
class _Scene:
    """Series in every state of their way: that is when the clock is set."""

    system: System
    sender: Sender
    sent: dict[str, int] = field(default_factory=dict)

    def send(self) -> str:
        series = make_series(SLICES, seed=len(self.sent))
        self.sender.send_until_taken(series, self.system.dicom_port)
        self.sent[uid_of(series)] = SLICES
        return uid_of(series)

    def prepare(self) -> None:
        """One result waits for its node, one job is computed, one series has just come."""
        uid = self.send()
        eventually(lambda: delivery_of(self.system, uid, "waiting"), what="a delivery that waits")
        running = self.send()
        eventually(lambda: passes_of(self.system, running) > 2, what="the middle of a job")
        self.send()


def set_clock(folder: Path, moves_h: Sequence[float] = MOVES_H) -> ClockRun:
    """Set the clock by so many hours, one after the other, each time with work in every state."""
    clock, receiver, doors = MovedClock(folder / "clock"), Receiver("TPS"), []
    with running_system(folder, {"TPS": receiver.port}, clock, PASSES="40") as system:
        month, hour = (Tokens(system.database).create(Role.VIEW, days=days)[1] for days in (30, 1 / 24))
        scene = _Scene(system, Sender("TPS"))
        for hours in moves_h:
            scene.prepare()
            clock.move(hours * HOUR_S)
            scene.send()
            doors.append((_status(system, month), _status(system, hour)))
            with receiver.listening():
                account = settle(system, scene.sender, scene.sent, receiver)
                eventually(lambda: delivered(system, len(scene.sent)), what="deliveries that are noted")
        attempts = max(job.attempts for uid in scene.sent for job in jobs_of(system, uid))
    objects = max(len(uids) for uids in receiver.received.values())
    return ClockRun(account=account, attempts=attempts, objects=objects, doors=doors)


def delivery_of(system: System, series_uid: str, state: str) -> DeliveryRecord | None:
    """The series' delivery, once it was tried and is in that state."""
    jobs = [job.id for job in jobs_of(system, series_uid)]
    tried = select(DeliveryRecord).where(DeliveryRecord.job_id.in_(jobs), DeliveryRecord.attempts > 0)
    with system.database.read() as session:
        return session.scalar(tried.where(DeliveryRecord.state == state))


def delivered(system: System, count: int) -> bool:
    """Whether so many deliveries are noted as taken."""
    with system.database.read() as session:
        query = select(func.count()).where(DeliveryRecord.state == "delivered")
        return session.scalar(query) == count


def _status(system: System, token: str) -> int:
    """Of the list of jobs, asked for with that token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(system.jobs_url, headers=headers, timeout=60, trust_env=False).status_code
