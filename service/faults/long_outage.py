"""A planning system that is down for an hour, with the pauses of a real installation on a clock that is set (P2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from service.faults.account import Account, settle
from service.faults.clients import Receiver, Sender
from service.faults.clock import HOUR_S, delivered, delivery_of
from service.faults.moved_clock import MovedClock
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually, running_system
from service.settings import ServiceSettings

SLICES = 4
BEFORE_S = 2.0
"""The clock is set to so long before the next attempt, which must then wait for its time."""


@dataclass(frozen=True)
class Outage:
    """What came of it.

    Attributes:
        account: of the series.
        attempts_s: when it was tried, in seconds of the simulated clock after the first time.
        planned_s: when it was to be tried, by the pauses of the settings.
        objects: that came to the node in the end.
    """

    account: Account
    attempts_s: list[float]
    planned_s: list[float]
    objects: int

    @property
    def kept(self) -> bool:
        """Delivered once, and never tried before its time."""
        in_time = all(
            later - earlier >= pause - 0.01
            for (earlier, later), pause in zip(pairwise(self.attempts_s), self._pauses_s, strict=True)
        )
        return self.account.kept and self.objects == 1 and in_time and self.attempts_s[-1] >= HOUR_S

    @property
    def _pauses_s(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.planned_s)]

    def __str__(self) -> str:
        """The figures in words."""
        pauses = ", ".join(f"{pause:.0f}" for pause in self._pauses_s)
        return (
            f"{self.account}; {len(self.attempts_s) - 1} attempts failed, pauses of {pauses} s kept; delivered "
            f"{self.attempts_s[-1] / 60:.0f} minutes after the first attempt, {self.objects} object at the node"
        )


def wait_out_an_hour(folder: Path) -> Outage:
    """The node comes up after an hour of the simulated clock, which is set from one attempt to the next."""
    clock, receiver, sender = MovedClock(folder / "clock"), Receiver("TPS"), Sender("TPS")
    pauses_s = ServiceSettings.model_fields["delivery_pauses_s"].default
    options = {"DELIVERY_PAUSES_S": json.dumps(pauses_s), "RESEND_S": "60"}
    series = make_series(SLICES)
    with running_system(folder, {"TPS": receiver.port}, clock, **options) as system:
        sender.send_until_taken(series, system.dicom_port)
        failed_s = [_failed_at(system, uid_of(series), 1)]
        while _next_at(system, uid_of(series)) < failed_s[0] + HOUR_S:
            _approach(clock, _next_at(system, uid_of(series)))
            failed_s.append(_failed_at(system, uid_of(series), len(failed_s) + 1))
        with receiver.listening():
            _approach(clock, _next_at(system, uid_of(series)))
            account = settle(system, sender, {uid_of(series): SLICES}, receiver)
            eventually(lambda: delivered(system, 1), what="a delivery that is noted")
        ended_s = eventually(lambda: delivery_of(system, uid_of(series), "delivered"), what="it").updated_at
    times = [each - failed_s[0] for each in (*failed_s, ended_s)]
    planned = [sum(pauses_s[:count]) for count in range(len(times))]
    return Outage(account, times, planned, len(receiver.received[uid_of(series)]))


def _failed_at(system: System, series_uid: str, attempts: int) -> float:
    """When that attempt had failed, on the simulated clock."""

    def found() -> float | None:
        delivery = delivery_of(system, series_uid, "waiting")
        return delivery.updated_at if delivery is not None and delivery.attempts == attempts else None

    return eventually(found, what=f"attempt {attempts} to deliver")


def _next_at(system: System, series_uid: str) -> float:
    delivery = delivery_of(system, series_uid, "waiting")
    return 0.0 if delivery is None or delivery.enqueued_at is None else delivery.enqueued_at


def _approach(clock: MovedClock, moment: float) -> None:
    clock.move(max(0.0, moment - BEFORE_S - clock.now()))
