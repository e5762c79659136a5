"""Holds what a sender was told against what is there: nothing lost, nothing doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset, dcmread
from sqlalchemy import select

from service.faults.clients import Receiver, Sender
from service.faults.system import System, eventually
from service.records import InstanceRecord, JobRecord
from worker.uids import uid_from


@dataclass(frozen=True, kw_only=True)
class Account:
    """Of one run. All but the first three should be zero.

    Attributes:
        answered: instances answered 0x0000.
        series: series that were taken whole.
        done: series whose newest job ended done, with every instance.
        lost: answered instances that are not there, or not as they were sent.
        undone: series without such a job.
        doubled: series for which two jobs of one revision ended done, or two different results arrived.
        undelivered: series whose result did not arrive.
    """

    answered: int
    series: int
    done: int
    lost: int
    undone: int
    doubled: int
    undelivered: int = 0

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.undone or self.doubled or self.undelivered)

    def __str__(self) -> str:
        """The figures in words."""
        return (
            f"{self.answered} instances answered 0x0000, {self.lost} lost; "
            f"{self.series} series: {self.done} done once, {self.doubled} twice, {self.undone} not, "
            f"{self.undelivered} not delivered"
        )


def settle(
    system: System, sender: Sender, series: Mapping[str, int], receiver: Receiver | None = None
) -> Account:
    """Wait until every series (UID to number of instances) has come to its end, then count."""
    for uid, count in series.items():
        eventually(lambda uid=uid, count=count: _done(system, uid, count), what=f"the end of series {uid}")  # type: ignore[misc]
    if receiver is not None:
        for uid in series:
            eventually(lambda uid=uid: _arrived(system, uid, receiver), what=f"the delivery of series {uid}")  # type: ignore[misc]
    return count_up(system, sender, series, receiver)


def count_up(
    system: System, sender: Sender, series: Mapping[str, int], receiver: Receiver | None = None
) -> Account:
    """Count without waiting."""
    done = {uid: _done(system, uid, count) for uid, count in series.items()}
    doubled = {uid for uid in series if _finished_twice(system, uid)}
    undelivered = sum(not _arrived(system, uid, receiver) for uid in series) if receiver is not None else 0
    return Account(
        answered=len(sender.answered),
        series=len(series),
        done=sum(done.values()),
        lost=count_lost(system, sender.answered),
        undone=len(series) - sum(done.values()),
        doubled=len(doubled),
        undelivered=undelivered,
    )


def count_lost(system: System, answered: Mapping[str, Dataset]) -> int:
    """Instances that are not in the inbox with the pixels that were sent."""
    with system.database.read() as session:
        found = {each.sop_uid: each.path for each in session.scalars(select(InstanceRecord))}
    inbox = system.settings.inbox_dir
    lost = 0
    for uid, sent in answered.items():
        path = inbox / found[uid] if uid in found else None
        if path is None or not path.is_file() or dcmread(path).PixelData != sent.PixelData:
            lost += 1
    return lost


def jobs_of(system: System, series_uid: str) -> Sequence[JobRecord]:
    """All jobs of a series, oldest first."""
    with system.database.read() as session:
        query = select(JobRecord).where(JobRecord.series_uid == series_uid).order_by(JobRecord.created_at)
        return session.scalars(query).all()


def passes_of(system: System, series_uid: str) -> int:
    """How many passes of the series' running job are done; 0 where none runs."""
    jobs = jobs_of(system, series_uid)
    return jobs[-1].passes_done if jobs and jobs[-1].state == "running" else 0


def _done(system: System, series_uid: str, count: int) -> bool:
    return any(job.instance_count == count for job in _standing(system, series_uid))


def _arrived(system: System, series_uid: str, receiver: Receiver) -> bool:
    """The result of the job that stands has come, as one object however often it was sent."""
    arrived = receiver.received.get(series_uid, [])
    return any(uid_from(job.id, "rtstruct") in arrived for job in _standing(system, series_uid))


def _standing(system: System, series_uid: str) -> list[JobRecord]:
    return [j for j in jobs_of(system, series_uid) if j.state == "done" and j.superseded_by is None]


def _finished_twice(system: System, series_uid: str) -> bool:
    done = Counter(job.revision for job in jobs_of(system, series_uid) if job.state == "done")
    return any(count > 1 for count in done.values())
