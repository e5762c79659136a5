"""The few attributes of a received object that the inbox needs, read without trusting a byte of it."""

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import UID, RTStructureSetStorage

from worker.errors import NoDicom, UnsupportedTransferSyntax
from worker.unchecked_values import DAMAGED

PREAMBLE_BYTES = 128
UID_PATTERN = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")  # PS3.5 9.1
UID_CHARACTERS = 64
DEFLATED_SYNTAXES = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
WANTED = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows"]
OF_META = {"SOPClassUID": "MediaStorageSOPClassUID", "SOPInstanceUID": "MediaStorageSOPInstanceUID"}
STRUCTURES = "StructureSetROISequence"  # an RTSTRUCT has it, however empty (PS3.3 C.8.8.5)

PARSER_ERRORS = (*DAMAGED, MemoryError)  # of bytes from the network


class NotAnImage(NoDicom):
    """These bytes are not a DICOM image that can be kept."""

    default_message = "This is not a DICOM image."
    default_remedy = "Send CT images as DICOM instances."


@dataclass(frozen=True, kw_only=True)
class InstanceHeader:
    """Identity of one object. `sha256` is that of its dataset, without preamble and file meta information.

    The same object sent by C-STORE and uploaded as a file differs in its file meta information only.
    """

    sop_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    modality: str
    transfer_syntax_uid: str
    sha256: str

    @property
    def is_image(self) -> bool:
        """Whether it belongs to a series that may be contoured. An RTSTRUCT is kept, and makes no job."""
        return self.sop_class_uid != RTStructureSetStorage


def is_uid(text: str) -> bool:
    """Whether the text is a UID as PS3.5 9.1 defines it."""
    return len(text) <= UID_CHARACTERS and UID_PATTERN.fullmatch(text) is not None


def read_header(data: bytes) -> InstanceHeader:
    """Read a Part-10 object's identity.

    Raises:
        NotAnImage: no DICOM, no image, cut off before the pixels, or UIDs that are none.
        UnsupportedTransferSyntax: a deflated object, which may unpack to any size.
    """
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        raise NotAnImage
    try:
        meta, start = _file_meta(data)
        syntax = str(meta.TransferSyntaxUID)
        if syntax in DEFLATED_SYNTAXES:
            raise UnsupportedTransferSyntax(f"The instance is deflated (transfer syntax {syntax}).")
        header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=[*WANTED, STRUCTURES])
        if (
            not header.get("Rows") and STRUCTURES not in header
        ):  # it follows the UIDs, so they are whole if it is there
            raise NotAnImage("The instance is cut off in its header, or it is no image.")
        found = {name: str(header.get(name) or meta.get(OF_META.get(name, ""), "")) for name in WANTED}
    except PARSER_ERRORS as error:
        raise NotAnImage("The DICOM header cannot be read; the instance is damaged or cut off.") from error
    _refuse_bad_uids(found)
    return InstanceHeader(
        sop_uid=found["SOPInstanceUID"],
        sop_class_uid=found["SOPClassUID"],
        series_uid=found["SeriesInstanceUID"],
        study_uid=found["StudyInstanceUID"],
        modality=found["Modality"][:16],
        transfer_syntax_uid=syntax,
        sha256=hashlib.sha256(memoryview(data)[start:]).hexdigest(),
    )


def same_content(data: bytes, other: bytes) -> bool:
    """Whether two objects say the same although their bytes differ (another transfer syntax)."""
    try:
        first, second = (dcmread(BytesIO(each)) for each in (data, other))
        return _comparable(first) == _comparable(second)
    except PARSER_ERRORS:
        return False


def _comparable(dataset: Dataset) -> dict[int, object]:
    return {int(element.tag): element.value for element in dataset if element.tag.element != 0}


def _file_meta(data: bytes) -> tuple[Dataset, int]:
    """The meta information, and where the dataset begins."""
    stream = BytesIO(data)
    read_preamble(stream, force=False)
    meta = _read_file_meta_info(stream)
    return meta, stream.tell()


def _refuse_bad_uids(found: dict[str, str]) -> None:
    for name, value in found.items():
        if name.endswith("UID") and not is_uid(value):
            raise NotAnImage(f"The instance's {name} is missing or not a UID.")
    sop_class = UID(found["SOPClassUID"])
    if "Image Storage" not in sop_class.name and sop_class != RTStructureSetStorage:
        raise NotAnImage("The instance is a DICOM object, but not an image and not an RTSTRUCT.")
    if ("Rows" in found and not found["Rows"]) != (sop_class == RTStructureSetStorage):
        raise NotAnImage("The instance is cut off in its header, or it is no image.")
