"""Objects on their way out (WADO-RS, PS3.18 10.4): whole, as frames, as single values."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import get_frame
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from service.dicomweb.headers import BULK_VRS
from service.dicomweb.holdings import HeldObject
from service.dicomweb.media import (
    DICOM,
    FRAME_TYPES,
    OCTETS,
    Accepted,
    converts_to,
    not_acceptable,
)
from service.dicomweb.related import Part
from service.instance_header import PARSER_ERRORS
from service.problems import Problem

AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MOST_FRAMES: Final = 1000
PLAIN_SYNTAXES: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})


class Whole:
    """Objects as DICOM files, in the transfer syntax that the client accepts."""

    def __init__(self, wanted: Accepted, stored: Mapping[Path, str]) -> None:
        self._wanted = wanted
        self._stored = stored

    @classmethod
    def of(cls, accepted: Sequence[Accepted], objects: Sequence[HeldObject]) -> "Whole":
        """The best of the accepted ranges in which every object can be had.

        Raises:
            Problem: 406.
        """
        stored = {each.path: syntax_of(each) for each in objects}
        for wanted in accepted:
            if wanted.takes(DICOM) and all(converts_to(each, wanted.syntax) for each in set(stored.values())):
                return cls(wanted, stored)
        raise not_acceptable(AS_STORED)

    @property
    def is_single(self) -> bool:
        """Whether the client wants the one file itself rather than a multipart answer."""
        return self._wanted.kind == DICOM

    def parts(self, objects: Sequence[HeldObject], url: str) -> Iterator[Part]:
        """One part per object; one that was deleted while the answer is sent is left out."""
        for each in objects:
            try:
                data, syntax = self.file(each)
            except OSError:
                continue
            location = f"{url}/studies/{each.study_uid}/series/{each.series_uid}/instances/{each.sop_uid}"
            content_type = f"{DICOM}; transfer-syntax={syntax}"
            yield Part(content_type=content_type, location=location, body=data)

    def file(self, each: HeldObject) -> tuple[bytes, str]:
        """The file's bytes and its transfer syntax."""
        stored = self._stored[each.path]
        wanted = converts_to(stored, self._wanted.syntax) or stored
        data = each.path.read_bytes()
        return (data, stored) if wanted == stored else (_as_explicit(data), wanted)


def syntax_of(each: HeldObject) -> str:
    """The transfer syntax that an object is stored in."""
    try:
        meta = dcmread(each.path, specific_tags=[], stop_before_pixels=True).file_meta
    except (*PARSER_ERRORS, OSError) as error:
        raise gone() from error
    return str(meta.TransferSyntaxUID)


def frames(each: HeldObject, numbers: Sequence[int], accepted: Sequence[Accepted], url: str) -> list[Part]:
    """Frames of an image, by number from 1 (PS3.18 10.4.1.1.6): plain, or compressed as they are stored.

    Raises:
        Problem: 400, 404 or 406.
    """
    dataset = _read(each)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    media_type = FRAME_TYPES.get(syntax, OCTETS)
    if not any(wanted.is_multipart and wanted.takes(media_type) for wanted in accepted):
        raise not_acceptable(f'multipart/related; type="{media_type}"')
    count = int(dataset.get("NumberOfFrames") or 1)
    if "PixelData" not in dataset or not all(1 <= number <= count for number in numbers):
        raise no_such_frame()
    try:
        bodies = [_frame(dataset, number - 1, count) for number in numbers]
    except PARSER_ERRORS as error:
        raise no_such_frame() from error
    content_type = f"{media_type}; transfer-syntax={syntax}"
    return [
        Part(content_type=content_type, location=f"{url}/frames/{number}", body=body)
        for number, body in zip(numbers, bodies, strict=True)
    ]


def bulk(each: HeldObject, tag: int) -> bytes:
    """A binary value of an object, as the link in its metadata promised.

    Raises:
        Problem: 404, the object has no such value.
    """
    dataset = _read(each)
    if tag not in dataset or dataset[tag].VR not in BULK_VRS:
        raise Problem(
            404,
            "no-such-value",
            detail="The object has no such binary value.",
            remedy="Take the link from the object's metadata.",
        )
    return bytes(dataset[tag].value or b"")


def gone() -> Problem:
    """404: nothing of that study, series or UID is held."""
    return Problem(
        404,
        "not-held",
        detail="Penumbra holds no such study, series or instance.",
        remedy="Search for it under /dicomweb/studies; it may have been deleted.",
    )


def no_such_frame() -> Problem:
    """404: the object has fewer frames, or none."""
    return Problem(
        404, "no-such-frame", detail="The object has no such frame.", remedy="Look at NumberOfFrames."
    )


def _read(each: HeldObject) -> FileDataset:
    try:
        return dcmread(each.path)
    except (*PARSER_ERRORS, OSError) as error:
        raise gone() from error


def _frame(dataset: Dataset, index: int, count: int) -> bytes:
    data: bytes = dataset.PixelData
    if dataset.file_meta.TransferSyntaxUID not in PLAIN_SYNTAXES:
        return get_frame(data, index, number_of_frames=count)
    samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)
    bits = int(dataset.BitsAllocated)
    if bits == 1:  # frames follow each other without padding (PS3.5 8.1.1)
        plane = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[index * samples :][:samples]
        return np.packbits(plane, bitorder="little").tobytes()
    size = samples * bits // 8
    frame = data[index * size : (index + 1) * size]
    if len(frame) != size:
        raise no_such_frame()
    return frame


def _as_explicit(data: bytes) -> bytes:
    dataset = dcmread(BytesIO(data))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return stream.getvalue()
