"""What an uploaded file is, and whether it is all there, before the inbox keeps it for good.

A cut-off slice that got into the inbox would stand in the way of its whole self, which has the same UID.
"""

from io import BytesIO
from typing import Literal

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from service.instance_header import DEFLATED_SYNTAXES, PARSER_ERRORS, PREAMBLE_BYTES

PREFIX_END = PREAMBLE_BYTES + 4
GROUP_LENGTH_BYTES = 12  # (0002,0000) UL, always the first element (PS3.10 7.1)
UNDEFINED_LENGTH = 0xFFFFFFFF

Kind = Literal["not-dicom", "not-an-image", "damaged", "image"]


def kind_of(data: bytes) -> Kind:
    """Judge one file's bytes. A deflated object counts as an image unseen: to look means to inflate it."""
    if not is_dicom(data):
        return "not-dicom"
    meta = _file_meta(data)
    if meta is None:
        return "damaged"
    sop_class = str(meta.get("MediaStorageSOPClassUID", ""))
    if sop_class and "Image Storage" not in UID(sop_class).name:
        return "not-an-image"
    is_deflated = str(meta.get("TransferSyntaxUID", "")) in DEFLATED_SYNTAXES
    return "damaged" if not is_deflated and _is_cut_off(data) else "image"


def is_dicom(data: bytes) -> bool:
    """Whether the bytes begin as a DICOM file does (PS3.10 7.1)."""
    return data[PREAMBLE_BYTES:PREFIX_END] == b"DICM"


def _file_meta(data: bytes) -> FileMetaDataset | None:
    start = PREFIX_END + GROUP_LENGTH_BYTES
    length = int.from_bytes(data[start - 4 : start], "little")
    try:
        return dcmread(BytesIO(data[: start + length])).file_meta
    except PARSER_ERRORS:
        return None


def _is_cut_off(data: bytes) -> bool:
    try:
        dataset = dcmread(BytesIO(data))
        elements = [dataset.get_item(tag) for tag in dataset.keys()]
    except PARSER_ERRORS:
        return True
    return "PixelData" not in dataset or any(_is_short(each) for each in elements)


def _is_short(element: object) -> bool:
    if not isinstance(element, RawDataElement) or element.length == UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length
