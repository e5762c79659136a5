"""A zip that is written while it is sent: never whole in memory, never on the disk."""

import io
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CHUNK_BYTES = 256 * 1024
PACKED = frozenset({".gz", ".pdf", ".png"})  # gets no smaller
FASTEST = 1


class Member(NamedTuple):
    """A file of the zip: its name there, and its bytes or where they lie."""

    name: str
    source: Path | bytes


def zip_stream(members: Iterable[Member]) -> Iterator[bytes]:
    """The zip's bytes, piece by piece.

    Raises:
        OSError: a file is gone. What was sent is then no whole zip, and readers notice.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for member in members:
            for _ in _written(archive, member):
                yield sink.taken()
    yield sink.taken()


def _written(archive: zipfile.ZipFile, member: Member) -> Iterator[None]:
    with _opened(member.source) as source, archive.open(_head(member), "w") as target:
        while chunk := source.read(CHUNK_BYTES):
            target.write(chunk)
            yield
    yield


def _opened(source: Path | bytes) -> io.BufferedIOBase:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _head(member: Member) -> zipfile.ZipInfo:
    if isinstance(member.source, Path):
        status = member.source.stat()
        size, when = status.st_size, status.st_mtime
    else:
        size, when = len(member.source), time.time()
    head = zipfile.ZipInfo(member.name, time.gmtime(when)[:6])
    head.file_size = size  # tells whether the large format is needed
    packed = Path(member.name).suffix in PACKED
    head.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    head.external_attr = 0o644 << 16
    return head


class _Sink(io.RawIOBase):
    """Takes what is written and gives it away."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        before = len(self._held)
        self._held += data  # type: ignore[arg-type]  # any buffer
        return len(self._held) - before

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self._held)
        self._held.clear()
        return data
