"""Compressed instances to plain bytes, by one child process for a whole series (`worker/decode_child.py`).

Limits: memory and processor time per instance in the child, a wall clock here, and the size of what comes out,
known from the headers first. A codec that crashes, hangs or asks for too much ends the child, and the instance
it was at is named.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from worker.decode_child import MAX_INFLATED_BYTES, Work
from worker.errors import DecoderMissing, UnreadableInstance

START_S: Final = 120.0  # to load the codecs, on a machine that is busy
INSTANCE_S: Final = 30.0
MAX_SPOOL_BYTES: Final = 2**30
# Nothing of the parent's, for it may hold secrets; one thread, for each would take address space of its own.
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CHILD: Final = (sys.executable, "-P", "-m", "worker.decode_child")
_REMEDY: Final = "Send this instance again; if it stays unreadable, send the series uncompressed."


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """One instance to decompress.

    Attributes:
        path: its file.
        label: how a message names it.
        syntax: Transfer Syntax UID.
        rows: size that its header tells, unknown (0) for what is to be inflated.
        columns: likewise.
    """

    path: Path
    label: str
    syntax: str
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """Bytes in a file without a name, which is gone with the last of them, and after a crash too."""

    file: IO[bytes]
    offset: int
    size: int

    def read(self, size: int | None = None, *, start: int = 0) -> bytes:
        """The bytes, or `size` of them from `start` on."""
        return os.pread(self.file.fileno(), self.size - start if size is None else size, self.offset + start)


def inflate(instances: Sequence[Compressed]) -> list[Spooled]:
    """The data sets of deflated instances (PS3.5 A.5), Explicit VR Little Endian, in the order given.

    Raises:
        UnreadableInstance: cut off, damaged, or larger than an instance may be.
    """
    return [_whole(each) for each in _inflated(instances)]


def inflate_readable(instances: Sequence[Compressed]) -> list[Spooled | None]:
    """As `inflate`, with None for what cannot be inflated.

    After one that ends the child (by its limits, or by saying nothing for too long) the rest is None too.
    """
    spooled = [each if isinstance(each, Spooled) else None for each in _inflated(instances)]
    return [*spooled, *[None] * (len(instances) - len(spooled))]


def decode_pixels(instances: Sequence[Compressed]) -> list[Spooled]:
    """Stored values of compressed instances, rows x columns x 16 bits, little endian, in the order given.

    Raises:
        UnreadableInstance: cut off, damaged, not of the size told, or its codec crashed or hung.
    """
    sizes = [2 * instance.rows * instance.columns for instance in instances]
    decoded = [_whole(each) for each in _decompress(instances, inflating=False, max_bytes=sum(sizes))]
    for instance, size, spooled in zip(instances, sizes, decoded, strict=True):
        if spooled.size != size:
            raise _unreadable(instance, "its compressed image is not of the size that its header says")
    return decoded


def _inflated(instances: Sequence[Compressed]) -> Iterator[Spooled | UnreadableInstance]:
    most = min(MAX_SPOOL_BYTES, MAX_INFLATED_BYTES * len(instances))
    return _decompress(instances, inflating=True, max_bytes=most)


def _whole(outcome: Spooled | UnreadableInstance) -> Spooled:
    if isinstance(outcome, UnreadableInstance):
        raise outcome
    return outcome


def _decompress(
    instances: Sequence[Compressed], *, inflating: bool, max_bytes: int
) -> Iterator[Spooled | UnreadableInstance]:
    """What became of each, in their order; ends with the one that ended the child."""
    if not instances:
        return
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as what is in it
    work = Work(
        inflate=inflating,
        items=[
            {"path": str(i.path), "syntax": i.syntax, "rows": i.rows, "columns": i.columns} for i in instances
        ],
        spool=spool.fileno(),
        max_bytes=max_bytes,
    )
    with _started(work) as child:
        try:
            place = 0
            for size in _sizes(child, instances):
                if isinstance(size, UnreadableInstance):
                    yield size
                    continue
                yield Spooled(file=spool, offset=place, size=size)
                place += size
        finally:
            child.kill()


def _started(work: Work) -> subprocess.Popen[bytes]:
    """The child, with its work on its standard input; it inherits one file and few variables."""
    child = subprocess.Popen(
        _CHILD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(work["spool"],),
        env=_ENVIRONMENT,
        cwd=tempfile.gettempdir(),
    )
    assert child.stdin is not None  # noqa: S101 - PIPE was asked for
    with suppress(BrokenPipeError), child.stdin as stdin:
        stdin.write(json.dumps(work).encode())
    return child


def _sizes(
    child: subprocess.Popen[bytes], instances: Sequence[Compressed]
) -> Iterator[int | UnreadableInstance]:
    """Bytes written per instance, or why none were, as the child reports them."""
    lines = _lines(child)
    if next(lines, None) is None:
        raise DecoderMissing
    for instance in instances:
        line = next(lines, None)
        if line is None:
            yield _unreadable(instance, "decompressing it failed, took too long or took too much memory")
            return
        report = json.loads(line)
        yield _unreadable(instance, str(report["error"])) if "error" in report else int(report["bytes"])


def _lines(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Lines of the child's output; ends when the child does, or when it says nothing for too long."""
    assert child.stdout is not None  # noqa: S101 - PIPE was asked for
    pending, limit_s = b"", START_S
    while True:
        deadline = time.monotonic() + limit_s
        while b"\n" not in pending:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([child.stdout], [], [], left_s)[0]:
                return
            chunk = os.read(child.stdout.fileno(), 65536)
            if not chunk:
                return
            pending += chunk
        line, _, pending = pending.partition(b"\n")
        yield line
        limit_s = INSTANCE_S


def _unreadable(instance: Compressed, why: str) -> UnreadableInstance:
    return UnreadableInstance(f"Instance {instance.label} cannot be read: {why}.", remedy=_REMEDY)
