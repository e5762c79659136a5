"""Senders that stop in the middle, come five at a time, repeat or contradict themselves (P1, P8)."""

from __future__ import annotations

import copy
import socket
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from pydicom import Dataset

from service.faults.account import Account, settle
from service.faults.clients import Sender
from service.faults.small_series import make_series, uid_of
from service.faults.system import System

SLICES = 12
PARALLEL = 5
CANNOT_UNDERSTAND = 0xC000


def interleave_two_series(system: System) -> Account:
    """Five associations at once, each with slices of both series."""
    sender = Sender("TPS")
    both = [make_series(SLICES, seed=number) for number in (1, 2)]
    mixed = [each for pair in zip(*both, strict=True) for each in pair]
    with ThreadPoolExecutor(PARALLEL) as pool:
        parts = [mixed[first::PARALLEL] for first in range(PARALLEL)]
        list(pool.map(lambda part: sender.send(part, system.dicom_port), parts))
    return settle(system, sender, {str(each[0].SeriesInstanceUID): SLICES for each in both})


def break_off_and_send_again(system: System, *, abort: bool) -> Account:
    """Half a series, then an A-ABORT or a line that is cut; then all of it."""
    sender, series = Sender("TPS"), make_series(SLICES)
    association = sender.associate(system.dicom_port)
    if association is not None:
        for each in series[: SLICES // 2]:
            sender.store(association, each)
        if abort:
            association.abort()
        else:
            _cut(cast(socket.socket, association.dul.socket.socket))  # type: ignore[union-attr]
    sender.send_until_taken(series, system.dicom_port)
    return settle(system, sender, {uid_of(series): SLICES})


def repeat_and_contradict(system: System) -> tuple[Account, int]:
    """A series twice, then once more with other pixels; the account, and how many of the latter were refused."""
    sender, series = Sender("TPS"), make_series(SLICES)
    for _ in range(2):
        sender.send_until_taken(series, system.dicom_port)
    sender.send(_with_other_pixels(series), system.dicom_port)
    account = settle(system, sender, {uid_of(series): SLICES})
    return account, sender.refused.get(CANNOT_UNDERSTAND, 0)


def _with_other_pixels(series: Sequence[Dataset]) -> list[Dataset]:
    changed = [copy.deepcopy(each) for each in series]
    for each in changed:
        each.PixelData = bytes(len(each.PixelData))
    return changed


def _cut(line: socket.socket) -> None:
    """Reset the connection: the peer sees an error, never a goodbye."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()
