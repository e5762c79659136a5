"""Which encodings of an instance are read, how, and why the others are not (PS3.5 10, Annex A)."""

from typing import Final

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from worker.errors import UnsupportedTransferSyntax

# Pixels lie in the file as plain numbers.
NATIVE: Final = frozenset(
    {str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian), str(ExplicitVRBigEndian)}
)
BIG_ENDIAN: Final = str(ExplicitVRBigEndian)
DEFLATED: Final = str(DeflatedExplicitVRLittleEndian)
# Compressed without loss: the pydicom plugin that decodes each. The libraries' licences fit Apache-2.0, which
# that of pylibjpeg-libjpeg (GPL), the usual choice for JPEG, does not.
PLUGINS: Final = {
    str(JPEGLosslessSV1): "gdcm",
    str(JPEGLossless): "gdcm",
    str(JPEGLSLossless): "pyjpegls",
    str(JPEG2000Lossless): "pylibjpeg",
    str(RLELossless): "pylibjpeg",
}
LOSSLESS: Final = tuple(UID(syntax) for syntax in PLUGINS)
# JPEG 2 to 13 and 15 to 18 and 22 to 29 have long been retired; those with loss are named so that a reason can
# be given. JPEG 2000 .91 and Part 2 may hold lossless images, but nothing outside the codestream says so.
_WITH_LOSS: Final = frozenset(
    f"1.2.840.10008.1.2.4.{n}"
    for n in "50 51 52 53 54 55 56 59 60 61 62 63 64 81 91 93 100 101 102 103 104 105 106 107 108 203".split()
)


def is_readable(syntax: str | None) -> bool:
    """Whether instances in this encoding can be read; None stands for a file without meta information."""
    return syntax is None or syntax in NATIVE or syntax == DEFLATED or syntax in PLUGINS


def refuse_syntax(syntax: str, label: str) -> UnsupportedTransferSyntax:
    """Why an instance in this encoding is not read.

    Args:
        syntax: Transfer Syntax UID.
        label: how a message names the instance.
    """
    name = UID(syntax).name
    if syntax in _WITH_LOSS:
        return UnsupportedTransferSyntax(
            f"Instance {label} is compressed with loss, or may be: {name}. Loss moves edges and changes CT numbers.",
            remedy="Send the original images, uncompressed or compressed without loss.",
        )
    return UnsupportedTransferSyntax(f"Instance {label} is encoded as {name}, which is not read.")
