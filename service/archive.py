"""Zip archives from outside: looked at as a whole before a single entry is opened.

Names in an archive are only ever inspected, never used: no file is called after an entry. Since a name may
be a patient's, messages speak of "entry 3" and not of its name.
"""

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.errors import TooLarge, UnsafeArchive

MAX_ENTRIES = 10_000
MAX_ENTRY_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 2 * 2**30
# Below this size anything goes: a synthetic CT of one grey value compresses a thousandfold and is no bomb.
RATIO_FREE_BYTES = 256 * 2**20
MAX_RATIO = 100.0
# The central directory is read in one piece: 10 000 entries with long names need less than this.
MAX_READ_BYTES = 4 * 2**20
CHUNK_BYTES = 2**20
COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000  # traditional, strong, masked headers (APPNOTE 4.4.4)

# What zipfile raises on damaged archives; it has no common base class.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)

REMEDY_REPACK = "Pack the DICOM files of one series into a plain zip, without password or links."
REMEDY_SMALLER = "Send one series per archive."


@dataclass(frozen=True)
class Entry:
    """One file of an archive.

    Attributes:
        position: 1-based place in the archive, folders counted too, for messages.
        data: its bytes; None where they cannot be restored (damaged archive).
    """

    position: int
    data: bytes | None


def check_archive(path: Path) -> int:
    """Judge the archive at `path` by its directory alone; nothing is decompressed.

    Returns:
        The number of files in it.

    Raises:
        UnsafeArchive: names that leave the archive, links, encryption, bombs, not a readable zip.
        TooLarge: more entries or bytes than allowed.
    """
    with _open(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise TooLarge(f"The archive has more than {MAX_ENTRIES} entries.", remedy=REMEDY_SMALLER)
        for position, info in enumerate(entries, start=1):
            _check_name(info.orig_filename, position)
            _check_kind(info, position)
        _check_sizes(entries)
        return sum(not info.is_dir() for info in entries)


def read_archive(path: Path) -> Iterator[Entry]:
    """The files of an archive that `check_archive` found safe, one at a time."""
    with _open(path) as archive:
        for position, info in enumerate(archive.infolist(), start=1):
            if not info.is_dir():
                yield Entry(position, _read(archive, info))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
    try:
        with archive.open(info) as stream:
            # zipfile stops at the declared size, which was checked, and then compares the checksum.
            data = b"".join(iter(lambda: stream.read(CHUNK_BYTES), b""))
    except DAMAGE:
        return None
    return data if len(data) == info.file_size else None


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    with _BoundedReads(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except DAMAGE as error:
            raise UnsafeArchive("The file is not a readable zip archive.", remedy=REMEDY_REPACK) from error
        with archive:
            yield archive


class _BoundedReads(io.FileIO):
    """A file that hands out no more than `MAX_READ_BYTES` at once, so a huge directory is never loaded."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_READ_BYTES:
            raise TooLarge("The archive's directory is larger than allowed.", remedy=REMEDY_SMALLER)
        return super().read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("an offset points before the archive")
        return super().seek(offset, whence)


def _check_name(name: str, position: int) -> None:
    parts = re.split(r"[/\\]", name)
    is_absolute = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) is not None
    if is_absolute or ".." in parts or "\0" in name:
        raise UnsafeArchive(
            f"Entry {position} has a path that leads out of the archive.", remedy=REMEDY_REPACK
        )


def _check_kind(info: zipfile.ZipInfo, position: int) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise UnsafeArchive(f"Entry {position} is a link or a device, not a file.", remedy=REMEDY_REPACK)
    if info.flag_bits & ENCRYPTED_FLAGS:
        raise UnsafeArchive(f"Entry {position} is encrypted.", remedy=REMEDY_REPACK)
    if info.compress_type not in COMPRESSIONS:
        raise UnsafeArchive(f"Entry {position} is compressed in an unusual way.", remedy=REMEDY_REPACK)


def _check_sizes(entries: list[zipfile.ZipInfo]) -> None:
    total_bytes = sum(info.file_size for info in entries)
    packed_bytes = max(1, sum(info.compress_size for info in entries))
    if total_bytes > RATIO_FREE_BYTES and total_bytes / packed_bytes > MAX_RATIO:
        times = total_bytes / packed_bytes
        raise UnsafeArchive(f"The archive would unpack to {times:.0f} times its size.", remedy=REMEDY_REPACK)
    if total_bytes > MAX_TOTAL_BYTES:
        raise TooLarge(f"The archive would unpack to {total_bytes} bytes.", remedy=REMEDY_SMALLER)
    for position, info in enumerate(entries, start=1):
        if info.file_size > MAX_ENTRY_BYTES:
            raise TooLarge(f"Entry {position} would unpack to {info.file_size} bytes.", remedy=REMEDY_SMALLER)
