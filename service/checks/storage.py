"""The data folder: whose it is, how much room, how fast it flushes, whether it can do what we ask of it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from service.checks.checked import Checked, bad, good
from service.settings import ServiceSettings

GIB = 2**30
FLUSHES = 5
SLOW_FLUSH_S = 0.1
SERIES_BYTES = 100 * 2**20
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs")


def check_storage(settings: ServiceSettings) -> Iterator[Checked]:
    """The data folder and the disk it is on; a file is written and deleted where it exists."""
    folder = settings.data_dir
    yield _room(settings)
    if not folder.exists():
        yield good("data folder", f"{folder} does not exist yet; the first start makes it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield bad(
            "data folder", f"{folder} is not ours to write", "Give it to the user that Penumbra runs as."
        )
        return
    yield _privacy(folder)
    yield from _abilities(folder)
    yield from _file_system(settings)


def _room(settings: ServiceSettings) -> Checked:
    existing = next(p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists())
    usage = shutil.disk_usage(existing)
    left = (usage.free - settings.min_free_bytes) // SERIES_BYTES
    text = f"{usage.free / GIB:.1f} of {usage.total / GIB:.0f} GiB at {settings.data_dir}"
    if usage.free <= settings.min_free_bytes:
        return bad("free space", f"{text}: no instance is taken", "Free space, or set `retention`.")
    if left < 20:
        return bad("free space", f"{text}: enough for some {left} series", "Free space, or set `retention`.")
    return good("free space", f"{text}, enough for some {left} series of 200 slices")


def _privacy(folder: Path) -> Checked:
    status = folder.stat()
    if status.st_mode & 0o077:
        return bad("data folder", f"{folder} is open to other users", f"chmod 700 {folder}")
    return good("data folder", f"{folder}, private to user {status.st_uid}")


def _abilities(folder: Path) -> Iterator[Checked]:
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as scratch:
            seconds = _flush_s(Path(scratch))
            linked = _can_link(Path(scratch))
    except OSError as error:
        yield bad(
            "writing", f"a file could not be written: {error.strerror}", "Look at the disk and its log."
        )
        return
    text = f"a slice is safely on the disk in {1000 * seconds:.1f} ms"
    if seconds > SLOW_FLUSH_S:
        remedy = "Intake will be slow; put the data folder on a solid-state disk."
        yield bad("writing", text, remedy)
    else:
        yield good("writing", text)
    if not linked:
        remedy = "Every series will take its space twice; use a file system with hard links."
        yield bad("hard links", "the file system has none", remedy)


def _flush_s(folder: Path) -> float:
    """Seconds for one slice of 512 KiB: write, flush, rename, flush the folder; the median of some."""
    data, took = bytes(512 * 1024), []
    for number in range(FLUSHES):
        began = time.perf_counter()
        beside = folder / f"{number}.tmp"
        with beside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(folder / str(number))
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2]


def _can_link(folder: Path) -> bool:
    try:
        (folder / "link").hardlink_to(folder / "0")
    except OSError:
        return False
    return True


def _file_system(settings: ServiceSettings) -> Iterator[Checked]:
    kind = _file_system_of(settings.data_dir)
    is_remote = kind.startswith(NETWORK_FILE_SYSTEMS)
    if is_remote and settings.database_url is None:
        yield bad(
            "file system",
            f"SQLite lies on {kind}, where it may be spoiled",
            "Use a local disk, or PostgreSQL by PENUMBRA_DATABASE_URL.",
        )
    elif kind == "tmpfs":
        yield bad("file system", "tmpfs: everything is lost with the machine", "Use a disk.")
    else:
        yield good("file system", kind)


def _file_system_of(path: Path) -> str:
    """The type of the file system, by the longest mount point that `path` lies below."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    mounts = [
        (fields[1].replace("\\040", " "), fields[2]) for line in lines if len(fields := line.split()) > 2
    ]
    below = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(below, key=lambda each: len(each[0]))[1] if below else "unknown"
