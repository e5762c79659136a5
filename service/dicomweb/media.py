"""What a client accepts (RFC 9110 12.5.1 with the parameters of PS3.18 8.7)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from python_multipart.multipart import parse_options_header

from service.problems import Problem

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
OCTETS: Final = "application/octet-stream"
RELATED: Final = "multipart/related"
ANY_SYNTAX: Final = "*"
MOST_CHARACTERS: Final = 4096

# PS3.18 8.7.3.3.2: the media type of a compressed frame, by transfer syntax.
FRAME_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """One range of an Accept header. `type` is that of the parts where the range is multipart/related."""

    kind: str
    type: str
    syntax: str | None
    quality: float = field(default=1.0)

    @property
    def is_multipart(self) -> bool:
        """Whether the answer may be multipart/related."""
        return self.kind in {RELATED, "multipart/*", "*/*"}

    def takes(self, media_type: str) -> bool:
        """Whether parts, or the whole answer, may be of this type."""
        return self.type in {media_type, "*/*", media_type.partition("/")[0] + "/*"}


def accepted(header: str | None) -> list[Accepted]:
    """The ranges of an Accept header, the best first; no header accepts everything."""
    ranges = list(_ranges((header or "*/*")[:MOST_CHARACTERS]))
    return sorted((each for each in ranges if each.quality > 0), key=lambda each: -each.quality)


def not_acceptable(what: str) -> Problem:
    """406, with what could be had."""
    return Problem(
        406,
        "not-acceptable",
        detail="The answer cannot be had in any form that the Accept header names.",
        remedy=f"This is to be had as {what}.",
    )


def converts_to(stored: str, wanted: str | None) -> str | None:
    """The transfer syntax in which an object is sent; None where it cannot be had so.

    Without a wish it is Explicit VR Little Endian (PS3.18 8.7.3.5.2), and what is compressed stays as it is.
    """
    is_plain = stored in {ImplicitVRLittleEndian, ExplicitVRLittleEndian}
    if wanted == ANY_SYNTAX or wanted == stored:
        return stored
    if wanted is None:
        return ExplicitVRLittleEndian if is_plain else stored
    return ExplicitVRLittleEndian if is_plain and wanted == ExplicitVRLittleEndian else None


def _ranges(header: str) -> Iterator[Accepted]:
    for text in _split(header):
        kind_bytes, options = parse_options_header(text)
        kind = kind_bytes.decode("latin-1").lower()
        values = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in options.items()}
        yield Accepted(
            kind=kind,
            type=values.get("type", "*/*").lower() if kind == RELATED else _part_type(kind),
            syntax=values.get("transfer-syntax"),
            quality=_quality(values.get("q", "1")),
        )


def _part_type(kind: str) -> str:
    return "*/*" if kind in {"*/*", "multipart/*"} else kind


def _split(header: str) -> Iterator[str]:
    """At commas that are not within quotes."""
    part, quoted = "", False
    for character in header:
        quoted ^= character == '"'
        if character == "," and not quoted:
            yield part.strip()
            part = ""
        else:
            part += character
    if part.strip():
        yield part.strip()


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
