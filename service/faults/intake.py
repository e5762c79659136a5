"""How fast instances are taken in, beside DCMTK's storescp in the same run (N13 of the node's requirements)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.faults.small_series import make_series
from service.faults.system import NotAsPromised, eventually
from service.probes import free_port, listener_answers
from service.settings import ServiceSettings
from worker.errors import Failed
from worker.job_folder import sync_folder

STORESCU, STORESCP = (
    Path("/usr/bin/storescu"),
    Path("/usr/bin/storescp"),
)  # pynetdicom has some of the same name
CALLED = "PENUMBRA"


class NoDcmtk(Failed):
    """The peer that is measured beside is not there."""

    code = "no-dcmtk"
    default_message = f"{STORESCU} and {STORESCP} are not installed."
    default_remedy = "Install DCMTK (Debian: apt install dcmtk)."


@dataclass(frozen=True, kw_only=True)
class IntakeCost:
    """Seconds for one way of taking in `instances` over `associations` at once."""

    who: str
    associations: int
    instances: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Instances in a second."""
        return self.instances / self.seconds


def measure_intake(folder: Path, *, slices: int, matrix: int, associations: int) -> list[IntakeCost]:
    """Time the same series into Penumbra and into storescp: one association, then several at once.

    Raises:
        NoDcmtk: DCMTK is not installed.
        NotAsPromised: an instance was not taken.
    """
    if not (STORESCU.exists() and STORESCP.exists()):
        raise NoDcmtk
    costs = []
    for who, listening in (("storescp", _storescp), ("penumbra", _penumbra)):
        for number in dict.fromkeys((1, associations)):
            parts = [_write(folder / f"{who}-{number}-{each}", slices, matrix) for each in range(number)]
            with listening(folder / f"{who}-{number}") as (port, stored):
                seconds = _send(parts, port)
                if stored() != number * slices:
                    raise NotAsPromised(f"{who} kept {stored()} of {number * slices} instances.")
            costs.append(IntakeCost(who=who, associations=number, instances=number * slices, seconds=seconds))
    flushes = _time_flushes(folder / "flushes", slices, 2 * matrix * matrix)
    costs.append(IntakeCost(who="flushes alone", associations=1, instances=slices, seconds=flushes))
    return costs


def as_rows(costs: Sequence[IntakeCost]) -> list[list[str]]:
    """A table; the ratio is to storescp with as many associations."""
    peers = {each.associations: each.seconds for each in costs if each.who == "storescp"}
    return [
        [
            each.who,
            str(each.associations),
            str(each.instances),
            f"{each.seconds:.2f}",
            f"{each.per_second:.0f}",
            f"{each.seconds / peers[each.associations]:.1f}",
        ]
        for each in costs
    ]


def _write(folder: Path, slices: int, matrix: int) -> Path:
    folder.mkdir(parents=True)
    for number, dataset in enumerate(make_series(slices, matrix=matrix)):
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def _send(parts: Sequence[Path], port: int) -> float:
    """Send each folder by a storescu of its own, all at once; seconds until the last has ended."""
    start = time.perf_counter()
    environment = {**os.environ, "TCP_NODELAY": "1"}
    command = [str(STORESCU), "-aec", CALLED, "+sd", "127.0.0.1", str(port)]
    running = [subprocess.Popen([*command, str(part)], env=environment) for part in parts]
    codes = [process.wait() for process in running]
    if any(codes):
        raise NotAsPromised(f"storescu ended with {codes}.")
    return time.perf_counter() - start


Listening = tuple[int, Callable[[], int]]


@contextmanager
def _storescp(folder: Path) -> Iterator[Listening]:
    folder = folder / "received"
    folder.mkdir(parents=True)
    port = free_port("127.0.0.1")
    command = [str(STORESCP), "--fork", "-aet", CALLED, "-od", str(folder), str(port)]
    process = subprocess.Popen(command, env={**os.environ, "TCP_NODELAY": "1"}, start_new_session=True)
    try:
        eventually(lambda: listener_answers(_settings(folder, port)), what="storescp")
        yield port, lambda: sum(1 for _ in folder.iterdir())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _penumbra(folder: Path) -> Iterator[Listening]:
    """Our listener alone, in a process of its own as always."""
    settings = _settings(folder / "data", free_port("127.0.0.1"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "listener.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.process", "listener"],
            env={**os.environ, **settings.environment()},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: listener_answers(settings), what="the listener")
        yield settings.dicom_port, lambda: sum(1 for _ in settings.inbox_dir.glob("*/*.dcm"))
    finally:
        process.terminate()
        process.wait(30)


def _settings(data_dir: Path, port: int) -> ServiceSettings:
    return ServiceSettings(data_dir=data_dir, dicom_port=port, ae_title=CALLED, min_free_bytes=0)


def _time_flushes(folder: Path, count: int, size: int) -> float:
    """What this disk takes for the flushes alone: file, folder and a journal, one after the other."""
    folder.mkdir(parents=True)
    data = bytes(size)
    with (folder / "journal").open("wb") as journal:
        start = time.perf_counter()
        for number in range(count):
            path = folder / f"{number}.tmp"
            with path.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            path.replace(folder / f"{number}.dcm")
            sync_folder(folder)
            journal.write(bytes(4096))
            journal.flush()
            os.fsync(journal.fileno())
        return time.perf_counter() - start
