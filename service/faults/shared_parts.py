"""What several hosts share gives way, or a host does: PostgreSQL, redis-server, a worker's host (P16)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from service.faults.account import Account, settle
from service.faults.clients import Receiver, Sender
from service.faults.scaled_out import ScaledOut, scaled_out
from service.faults.small_series import make_series, uid_of
from service.faults.surroundings import OUT_OF_RESOURCES
from service.faults.system import eventually
from service.records import ChangeCounter

SLICES = 6
STREAM_PAUSE_S = 0.5
BACKLOG = 5
"""Series that wait for their result at most; a sender that never waits would fill any queue."""

BUSY_MACHINE = {
    "QUIET_PERIOD_S": "6",
    "LEASE_S": "20",
}  # so that it makes no two series of one, and no lost workers
HANG_S = 25.0
"""Longer than a lease and longer than anybody waits for a lock."""

Step = Callable[[ScaledOut], None]


@dataclass
class Stream:
    """Series that arrive one after the other while something is done to the system."""

    site: ScaledOut
    receiver: Receiver
    sender: Sender = field(default_factory=lambda: Sender("TPS"))
    sent: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Series arrive for the length of a block, and until the last one is taken."""
        thread = threading.Thread(target=self._flow, daemon=True)
        thread.start()
        yield
        self._stop.set()
        thread.join()

    def settle(self) -> Account:
        """Wait until all have come to their end, and count."""
        return settle(self.site.system, self.sender, self.sent, self.receiver)

    def wait_for(self, count: int) -> None:
        """Until so many more series were taken."""
        goal = len(self.sent) + count
        eventually(lambda: len(self.sent) >= goal, what=f"{count} more series")

    def _flow(self) -> None:
        while not self._stop.wait(STREAM_PAUSE_S):
            if len(self.sent) - len(self.receiver.received) >= BACKLOG:
                continue
            series = make_series(SLICES, seed=len(self.sent))
            self.sender.send_until_taken(series, self.site.system.dicom_port)
            self.sent[uid_of(series)] = SLICES


@contextmanager
def streaming(folder: Path, **options: str) -> Iterator[Stream]:
    """A scaled-out system that series are sent to."""
    receiver = Receiver("TPS")
    nodes = {"TPS": receiver.port}
    with receiver.listening(), scaled_out(folder, nodes, **{**BUSY_MACHINE, **options}) as site:
        yield Stream(site, receiver)


def disturb(folder: Path, steps: list[Step]) -> tuple[str, Account]:
    """Do one thing after the other while series arrive; returns in words who computed, and the account."""
    with streaming(folder) as stream:
        with stream.flowing():
            stream.wait_for(2)
            for step in steps:
                step(stream.site)
                stream.wait_for(2)
        account = stream.settle()
        alive = "" if stream.site.second.is_alive() else ", whose worker ended"
        return stream.site.done_by_host() + alive, account


def restart_postgres(site: ScaledOut) -> None:
    """As an administrator does: connections are cut, what was committed stays."""
    site.postgres.stop("fast")
    site.postgres.start()


def crash_postgres(site: ScaledOut) -> None:
    """As a crash: it recovers from its log when it is started again."""
    site.postgres.stop("immediate")
    site.postgres.start()


def hang_postgres(site: ScaledOut) -> None:
    """It answers nobody for a while, and then goes on."""
    site.postgres.hang()
    time.sleep(HANG_S)
    site.postgres.go_on()


def restart_redis(site: ScaledOut) -> None:
    """Ended in order and started again."""
    site.redis.stop()
    site.redis.start()


def empty_redis(site: ScaledOut) -> None:
    """FLUSHALL."""
    site.redis.empty()


def kill_host(folder: Path, kills: int) -> tuple[int, str, Account]:
    """Kill the second host in mid-job so often, and start it again each time.

    Returns:
        Jobs that had to begin anew, who computed in words, and the account.
    """
    interrupted = set()
    with streaming(folder, PASSES="100") as stream:
        second = stream.site.second
        with stream.flowing():
            for _ in range(kills):
                interrupted.add(eventually(second.computes, what="a job on the second host"))
                second.kill()
                stream.wait_for(1)
                second.start()
        account = stream.settle()
        again = sum(stream.site.system.jobs().get(job_id).attempts > 1 for job_id in interrupted)
        return again, stream.site.done_by_host(), account


def cut_off_host(folder: Path) -> tuple[int, int, Account]:
    """Cut the second host from the database until the other has done its job, then let it speak again.

    Returns:
        Results it tried to publish by then, those of them that were taken, and the account.
    """
    with streaming(folder, PASSES="60") as stream:
        with stream.flowing():
            site, jobs = stream.site, stream.site.system.jobs()
            job_id = eventually(site.second.computes, what="a job on the second host")
            site.wire.hold()
            eventually(lambda: jobs.get(job_id).state == "done", what="the job's end on the other host")
            site.wire.let_pass()
            said = eventually(lambda: _endings(site.second.log, job_id), what="the late worker's word")
        return len(said), sum(said), stream.settle()


def go_silent_in_a_write(folder: Path) -> tuple[float, int, Account]:
    """A host that holds the turn to write says nothing any more, its connection stays.

    Returns:
        Seconds until others could write, instances refused with 0xA700 meanwhile, and the account.
    """
    with streaming(folder) as stream:
        with stream.flowing():
            stream.wait_for(1)
            held_s = _hold_the_turn(stream.site)
            stream.wait_for(1)
        refused = stream.sender.refused.get(OUT_OF_RESOURCES, 0)
        return held_s, refused, stream.settle()


def _hold_the_turn(site: ScaledOut) -> float:
    start = time.monotonic()
    database, counter = site.system.database, select(ChangeCounter.value)

    def counted() -> int:
        with database.read() as session:
            return session.scalar(counter) or 0

    try:
        with database.write() as session:
            before = session.scalar(counter) or 0
            eventually(lambda: counted() > before, what="a write by somebody else")
    except OperationalError:
        pass  # the server has ended this connection, as it should
    return time.monotonic() - start


def _endings(log: Path, job_id: str) -> list[bool]:
    """Of a job that a worker computed to its end: whether each result was taken."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line["published"] for line in lines if line["event"] == "job ended" and line["job_id"] == job_id]
