"""kill -9 of every process at random moments while series arrive, are contoured and go back (P1, P2, P3)."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.faults.account import Account, jobs_of, passes_of, settle
from service.faults.clients import Receiver, Sender
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually, running_system

PARTS = ("listener", "worker", "child", "reconciler", "broker", "delivery", "api")
SLICES = 6
SENDERS = 3
PAUSE_S = 1.5
"""Between two kills, on average."""


@dataclass(frozen=True, kw_only=True)
class KillRun:
    """What came of it: kills by part, and the account."""

    kills: Counter[str]
    account: Account
    seconds: float


@dataclass
class _Clinic:
    """Sends one series after the other until told to stop; each of its threads is a sender."""

    system: System
    sender: Sender
    sent: dict[str, int] = field(default_factory=dict)
    given_up: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stop.wait(1.0):
            series = make_series(SLICES, seed=len(self.sent))
            if self.sender.send_until_taken(series, self.system.dicom_port):
                self.sent[uid_of(series)] = SLICES
            else:
                self.given_up += 1


def run_kills(folder: Path, kills: int, *, seed: int = 0, parts: Sequence[str] = PARTS) -> KillRun:
    """Kill so often in all, each part in turn, at random moments; then let the system come to rest and count."""
    start, done = time.monotonic(), Counter[str]()
    drawn, receiver = random.Random(seed), Receiver("TPS")
    with receiver.listening(), running_system(folder, {"TPS": receiver.port}) as system:
        clinic = _Clinic(system, Sender("TPS"))
        threads = [threading.Thread(target=clinic.work, daemon=True) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        while sum(done.values()) < kills:
            part = parts[sum(done.values()) % len(parts)]
            time.sleep(drawn.expovariate(1 / PAUSE_S))
            eventually(lambda part=part: system.kill(part), what=f"a {part} to kill")  # type: ignore[misc]
            done[part] += 1
        clinic.stop.set()
        for thread in threads:
            thread.join()
        account = settle(system, clinic.sender, clinic.sent, receiver)
    return KillRun(kills=done, account=account, seconds=time.monotonic() - start)


def measure_recovery(folder: Path, kills: int, *, part: str) -> list[float]:
    """Seconds from the kill of a worker (or its `child`) in mid-job until its job is computed again."""
    seconds = []
    with running_system(folder, PASSES="40") as system:
        sender = Sender("TPS")
        for number in range(kills):
            series = make_series(SLICES, seed=number)
            sender.send_until_taken(series, system.dicom_port)
            uid = uid_of(series)
            eventually(lambda uid=uid: passes_of(system, uid) > 2, what="the middle of a job")  # type: ignore[misc]
            attempts = jobs_of(system, uid)[-1].attempts
            system.kill(part)
            start = time.monotonic()
            eventually(
                lambda uid=uid, attempts=attempts: jobs_of(system, uid)[-1].attempts > attempts,  # type: ignore[misc]
                what="another attempt",
            )
            seconds.append(time.monotonic() - start)
            eventually(lambda uid=uid: jobs_of(system, uid)[-1].state == "done", what="the job's end")  # type: ignore[misc]
    return sorted(seconds)
