"""Headers of whatever lies in a folder that is said to hold a CT: nobody has checked them."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from worker.decode import Compressed, inflate_readable
from worker.instance_files import COMPANIONS, LOCALIZERS, is_dicom
from worker.transfer_syntaxes import DEFLATED
from worker.unchecked_values import DAMAGED, bytes_of, file_meta_of, integer_of, text_of


def image_headers(folder: Path) -> Iterator[tuple[str, Dataset]]:
    """What each DICOM file below a folder holds before its pixels, empty of a damaged one; and the file's place.

    The place, as `file 3`, is the only name of a damaged file that may be told: its own may be a patient's.

    Doses, plans and other objects that accompany images are passed over. Deflated instances come last, inflated by one
    child process with limits, for a few kilobytes may become gigabytes.

    Raises:
        DecoderMissing: the child process did not start.
    """
    deflated: list[Compressed] = []
    for number, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file()), start=1):
        try:
            if not is_dicom(path):
                continue
            meta = file_meta_of(path)
            if text_of(meta, "MediaStorageSOPClassUID").startswith(COMPANIONS):
                continue
            if text_of(meta, "TransferSyntaxUID") == DEFLATED:
                deflated.append(Compressed(path=path, label=f"file {number}", syntax=DEFLATED))
                continue
            header: Dataset = dcmread(path, stop_before_pixels=True, force=True)
        except DAMAGED:
            header = Dataset()
        if not text_of(header, "SOPClassUID").startswith(COMPANIONS):
            yield f"file {number}", header
    for instance, spooled in zip(deflated, inflate_readable(deflated), strict=True):
        yield instance.label, Dataset() if spooled is None else _parsed(spooled.read())


def is_localizer(header: Dataset) -> bool:
    """By Image Type value 3 (PS3.3 C.8.2.1.1.1), or what vendors write there."""
    kinds = (bytes_of(header, "ImageType") or b"").upper().split(b"\\")
    return any(kind.decode("latin-1").strip(" \0") in LOCALIZERS for kind in kinds)


def has_frames(header: Dataset) -> bool:
    """Whether an instance holds several frames, each with a place of its own (PS3.3 C.7.6.16)."""
    frames = integer_of(header, "NumberOfFrames")
    return "PerFrameFunctionalGroupsSequence" in header or (frames is not None and frames > 1)


def kind_of(header: Dataset) -> str:
    """Name of an instance's SOP class, if the standard has it."""
    kind = UID(text_of(header, "SOPClassUID"))
    return kind.name if kind.is_valid and kind.name != kind else "images of unknown kind"


def _parsed(data: bytes) -> Dataset:
    try:
        return dcmread(BytesIO(data), stop_before_pixels=True, force=True)
    except DAMAGED:
        return Dataset()
