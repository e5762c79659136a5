"""Clients that mean harm or are broken, while a good one goes on working (P8, P10, P11)."""

from __future__ import annotations

import io
import random
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from service.faults.clients import Sender
from service.faults.small_series import make_series
from service.faults.system import System, eventually
from service.probes import listener_answers

ANSWER_S = 0.05
"""How long a malformed session is listened to before the next one."""

PATH_LIKE = ("../../evil", "/etc/passwd", "..", "1.2.3/../../4", "1.2.3 4", "a" * 64)

_VERIFICATION, _CT, _IMPLICIT = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.2"


@dataclass(frozen=True, kw_only=True)
class Siege:
    """What the listener looked like under it.

    Attributes:
        sessions: how many harmful connections.
        restarts: how often the listener's process changed.
        grown_bytes: resident memory more than before.
        threads_left: threads more than before, once the connections had gone.
        slowest_echo_s: the longest that a good client's C-ECHO took meanwhile.
        missed: C-ECHOs that were not answered.
    """

    sessions: int
    restarts: int
    grown_bytes: int
    threads_left: int
    slowest_echo_s: float
    missed: int

    @property
    def kept(self) -> bool:
        """No crash, no hang, bounded memory."""
        return not self.restarts and not self.missed and self.grown_bytes < 50e6 and self.threads_left <= 2

    def __str__(self) -> str:
        """The figures in words."""
        return (
            f"{self.sessions} connections: {self.restarts} crashes, {self.missed} C-ECHOs of a good client missed, "
            f"memory +{self.grown_bytes / 1e6:.0f} MB, threads left {self.threads_left}"
        )


def send_malformed(system: System, sessions: int, *, seed: int = 0) -> Siege:
    """Recorded sessions with bytes flipped, cut out, doubled, lengths and types changed."""
    drawn = random.Random(seed)
    with _watched(system, sessions) as watch:
        for number in range(sessions):
            _talk(system.dicom_port, _mutated(session_bytes(), drawn))
            if number % 100 == 0:
                watch.echo()
    return watch.siege()


def hold_silent(system: System, sockets: int) -> Siege:
    """So many connections at once that say nothing, or half a header, and stay."""
    with _watched(system, sockets) as watch, ExitStack() as held:
        for number in range(sockets):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", system.dicom_port), 5))
            if number % 2:
                connection.sendall(b"\x01\x00\xff\xff\xff\xff")  # an A-ASSOCIATE-RQ of 4 GiB (PS3.8 9.3.2)
        watch.echo()
    return watch.siege()


def session_bytes() -> bytes:
    """A-ASSOCIATE-RQ, a C-STORE-RQ and A-RELEASE-RQ as one peer would send them (PS3.8 9.3, PS3.7 9.3.1)."""
    contexts = b"".join(_context(1 + 2 * place, syntax) for place, syntax in enumerate((_VERIFICATION, _CT)))
    user = _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4"))
    body = struct.pack(">HH", 1, 0) + b"PENUMBRA".ljust(16) + b"TPS".ljust(16) + bytes(32)
    request = body + _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
    return (
        _pdu(1, request)
        + _pdu(4, _pdv(3, 3, _command()))
        + _pdu(4, _pdv(3, 2, bytes(512)))
        + _pdu(5, bytes(4))
    )


def send_path_like_uids(system: System) -> tuple[int, int]:
    """C-STORE under names that lead elsewhere; how many were sent, and how many were answered 0x0000."""
    sender = Sender("TPS")
    for name in PATH_LIKE:
        dataset = make_series(1)[0]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(name)
        sender.send([dataset], system.dicom_port)
    return len(PATH_LIKE), len(sender.answered)


def upload_bombs(system: System, megabytes: int = 200) -> tuple[list[int], int]:
    """REST uploads that unpack to so much: HTTP statuses, and by how many bytes the API's process grew."""
    pid = eventually(lambda: system.pid("api"), what="the API")
    before = _status(pid)[0]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", bytes(megabytes * 2**20))
    traversal = io.BytesIO()
    with zipfile.ZipFile(traversal, "w") as archive:
        archive.writestr("../../evil.dcm", b"x")
    statuses = []
    for name, data in (
        ("bomb.zip", packed.getvalue()),
        ("evil.zip", traversal.getvalue()),
        ("bomb.dcm", deflated_bomb(megabytes)),
    ):
        statuses.append(httpx.post(system.jobs_url, files={"files": (name, data)}, timeout=120).status_code)
    return statuses, max(0, _status(pid)[0] - before)


def deflated_bomb(megabytes: int) -> bytes:
    """A deflated instance (PS3.5 A.5) of a thousandth of what it unpacks to."""
    meta = make_series(1)[0].file_meta
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = DicomBytesIO()
    stream.write(bytes(128) + b"DICM")
    write_file_meta_info(stream, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes))
    return bytes(stream.getvalue()) + packed + packer.flush()


class _Watch:
    def __init__(self, system: System, sessions: int) -> None:
        self._system, self._sessions = system, sessions
        self._pid = eventually(lambda: system.pid("listener"), what="the listener")
        self._bytes, self._threads = _status(self._pid)
        self._slowest_s, self._missed = 0.0, 0
        self.quiet_s = 15.0

    def echo(self) -> None:
        """Ask as a good client does; an association that is rejected for want of room is an answer too."""
        start = time.monotonic()
        self._missed += not listener_answers(self._system.settings)
        self._slowest_s = max(self._slowest_s, time.monotonic() - start)

    def siege(self) -> Siege:
        """Look again, once what is left has had time to go."""
        deadline = time.monotonic() + self.quiet_s
        now = self._system.pid("listener")
        while now is not None and _status(now)[1] > self._threads and time.monotonic() < deadline:
            time.sleep(0.2)
        resident, threads = _status(now) if now is not None else (0, 0)
        return Siege(
            sessions=self._sessions,
            restarts=int(now != self._pid),
            grown_bytes=max(0, resident - self._bytes),
            threads_left=max(0, threads - self._threads),
            slowest_echo_s=self._slowest_s,
            missed=self._missed,
        )


@contextmanager
def _watched(system: System, sessions: int) -> Iterator[_Watch]:
    watch = _Watch(system, sessions)
    watch.echo()
    yield watch
    watch.echo()


def _status(pid: int) -> tuple[int, int]:
    """Resident bytes and threads of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return int(values["VmRSS"][0]) * 1024, int(values["Threads"][0])


def _talk(port: int, data: bytes) -> None:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(ANSWER_S)
            connection.sendall(data)
            connection.recv(4096)
    except OSError:  # refused, reset, or no answer: all fair
        pass


def _mutated(data: bytes, drawn: random.Random) -> bytes:
    spoiled = bytearray(data)
    for _ in range(drawn.randint(1, 8)):
        place, size = drawn.randrange(len(spoiled)), drawn.randint(1, 16)
        way = drawn.randrange(4)
        if way == 0:
            spoiled[place] = drawn.randrange(256)
        elif way == 1:
            spoiled[place : place + size] = drawn.randbytes(size)
        elif way == 2 and len(spoiled) > size + 1:
            del spoiled[place : place + size]
        else:
            spoiled[place:place] = spoiled[place : place + size]
    return bytes(spoiled)


def _pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _context(number: int, syntax: bytes) -> bytes:
    return _item(0x20, bytes([number, 0, 0, 0]) + _item(0x30, syntax) + _item(0x40, _IMPLICIT))


def _pdv(context: int, control: int, body: bytes) -> bytes:
    return struct.pack(">IBB", len(body) + 2, context, control) + body


def _command() -> bytes:
    """A C-STORE-RQ in Implicit VR Little Endian (PS3.7 9.3.1.1)."""
    fields = [(0x0002, _CT + b"\0"), (0x0100, struct.pack("<H", 1)), (0x0110, struct.pack("<H", 7))]
    fields += [(0x0700, struct.pack("<H", 0)), (0x0800, struct.pack("<H", 0)), (0x1000, b"1.2.3.4.5\0")]
    body = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in fields)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body
