"""The CT's slices in one file, each compressed by itself, so that a page gets one without any DICOM being decoded.

    8 bytes   PENSLC01
    3 x u4    slices, rows, columns (little-endian, as everything here)
    n+1 x u8  where each slice begins in the file, and where the last one ends
    n blobs   gzip (RFC 1952) of the slice's CT numbers: rows x columns int16, row by row

CT numbers are those of `CTSeries.hu`, slices in its order.
"""

import gzip
import struct
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"PENSLC01"
FASTEST: Final = 1  # of zlib's levels: a noisy CT hardly gets smaller by the others
_HEAD: Final = struct.Struct("<8s3I")


class SliceBytes(NamedTuple):
    """One slice as it lies in the file.

    Attributes:
        rows: of the slice.
        columns: of the slice.
        gzipped: its int16 numbers, little-endian, row by row, compressed.
    """

    rows: int
    columns: int
    gzipped: bytes


def write_slices(hu_zyx: NDArray[np.int16], path: Path) -> None:
    """Write CT numbers (z, y, x), HU, as a pack."""
    begins = _HEAD.size + 8 * (len(hu_zyx) + 1)
    places = [begins]
    with path.open("wb") as stream:
        stream.seek(begins)
        for plane in hu_zyx:
            blob = gzip.compress(plane.astype("<i2", copy=False).tobytes(), compresslevel=FASTEST, mtime=0)
            stream.write(blob)
            places.append(places[-1] + len(blob))
        stream.seek(0)
        stream.write(_HEAD.pack(MAGIC, *hu_zyx.shape))
        stream.write(np.asarray(places, "<u8").tobytes())


def read_slice(path: Path, index: int) -> SliceBytes | None:
    """One slice of a pack; None where it has no such slice.

    Raises:
        OSError: there is no such file.
        ValueError: it is no pack, or cut off.
    """
    with path.open("rb") as stream:
        slices, rows, columns = _head(stream)
        if not 0 <= index < slices:
            return None
        stream.seek(_HEAD.size + 8 * index)
        begin, end = struct.unpack("<2Q", _exactly(stream, 16))
        stream.seek(begin)
        return SliceBytes(rows, columns, _exactly(stream, end - begin))


def _head(stream: BinaryIO) -> tuple[int, int, int]:
    magic, slices, rows, columns = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if magic != MAGIC:
        raise ValueError("not a pack of slices")
    return slices, rows, columns


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError("the pack of slices is cut off")
    return data
