"""Nodes that are down, refuse, are slow, or die after they stored the object (P2)."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import select

from service.faults.account import Account, settle
from service.faults.clients import Receiver, Sender
from service.faults.small_series import make_series, uid_of
from service.faults.system import System, eventually, running_system
from service.records import DeliveryRecord

SLICES = 4
REFUSED = 0xA700
SLOW_S = 3.0


def deliver_to(folder: Path, fault: str) -> tuple[Account, int]:
    """A result for a node with that fault (down, refusing, slow, dying), which then recovers.

    Returns:
        The account, and how often it was tried to deliver.
    """
    receiver = Receiver("TPS")
    with running_system(folder, {"TPS": receiver.port}) as system:
        sender, series = Sender("TPS"), make_series(SLICES)
        sent = {uid_of(series): SLICES}
        if fault == "down":
            sender.send_until_taken(series, system.dicom_port)
            eventually(lambda: _attempts(system) >= 2, what="two attempts")
        _spoil(receiver, fault)
        with receiver.listening():
            sender.send_until_taken(series, system.dicom_port)
            if fault == "refusing":
                eventually(lambda: _attempts(system) >= 2, what="two attempts")
                receiver.status = 0
            account = settle(system, sender, sent, receiver)
            eventually(lambda: _delivered(system), what="a delivery that is noted")
            time.sleep(2 * SLOW_S)  # a second object would come now
            again = len(set(receiver.received[next(iter(sent))])) - 1
        attempts = _attempts(system)
    return (account if not again else Account(**{**vars(account), "doubled": again})), attempts


def _spoil(receiver: Receiver, fault: str) -> None:
    receiver.status = REFUSED if fault == "refusing" else 0
    receiver.pause_s = SLOW_S if fault == "slow" else 0.0
    receiver.dies_after_store = fault == "dying"


def _attempts(system: System) -> int:
    with system.database.read() as session:
        return max(session.scalars(select(DeliveryRecord.attempts)).all(), default=0)


def _delivered(system: System) -> bool:
    with system.database.read() as session:
        states = session.scalars(select(DeliveryRecord.state)).all()
    return bool(states) and set(states) == {"delivered"}
