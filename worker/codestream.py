"""How large an image a compressed codestream claims to hold, read from its markers before anything is decoded.

A decoder allocates what the codestream asks for, whatever Rows and Columns say.
"""

import struct
from dataclasses import dataclass
from typing import Final

_JPEG_START: Final = b"\xff\xd8"
_J2K_START: Final = b"\xff\x4f\xff\x51"  # SOC, SIZ (ISO/IEC 15444-1 A.4, A.5)
_END: Final = b"\xff\xd9"  # EOI and EOC alike
_RLE_HEADER_BYTES: Final = 64
# Start of frame: JPEG (ISO/IEC 10918-1 B.1.1.3) without DHT, JPG and DAC, and JPEG-LS (ISO/IEC 14495-1 C.1.1)
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})


class BadCodestream(ValueError):
    """The codestream is cut off, damaged, or no codestream. The text says which, in words for a report."""


@dataclass(frozen=True, kw_only=True)
class FrameSize:
    """What a codestream holds: pixels, components per pixel, bits per component."""

    rows: int
    columns: int
    components: int
    bits: int


def frame_size(codestream: bytes) -> FrameSize:
    """Size of the image in a JPEG, JPEG-LS or JPEG 2000 codestream.

    Raises:
        BadCodestream: no such codestream, or its end is missing.
    """
    if _END not in codestream[-4:]:
        raise BadCodestream("its compressed image is cut off")
    try:
        if codestream.startswith(_J2K_START):
            return _jpeg2000(codestream)
        if codestream.startswith(_JPEG_START):
            return _jpeg(codestream)
    except (struct.error, IndexError):
        raise BadCodestream("its compressed image is damaged") from None
    raise BadCodestream("what should be its compressed image is none")


def check_rle(frame: bytes, *, segments: int) -> None:
    """Check the header of an RLE frame (PS3.5 G.5), whose segments are one byte plane each.

    Raises:
        BadCodestream: another number of segments, or offsets that leave the frame.
    """
    if len(frame) < _RLE_HEADER_BYTES:
        raise BadCodestream("its compressed image is cut off")
    count, *offsets = struct.unpack("<16I", frame[:_RLE_HEADER_BYTES])
    used = offsets[:segments]
    if (
        count != segments
        or used[0] != _RLE_HEADER_BYTES
        or sorted(set(used)) != used
        or used[-1] >= len(frame)
    ):
        raise BadCodestream("its compressed image is damaged")


def _jpeg2000(codestream: bytes) -> FrameSize:
    """The SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    x1, y1, x0, y0 = struct.unpack_from(">4I", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    return FrameSize(rows=y1 - y0, columns=x1 - x0, components=components, bits=(codestream[42] & 0x7F) + 1)


def _jpeg(codestream: bytes) -> FrameSize:
    """The first frame header, found by stepping over the segments before it."""
    at = 2
    while codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _FRAME_MARKERS:
            bits, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 4)
            return FrameSize(rows=rows, columns=columns, components=components, bits=bits)
        else:
            (length,) = struct.unpack_from(">H", codestream, at + 2)
            at += 2 + max(length, 2)
    raise BadCodestream("its compressed image is damaged")
