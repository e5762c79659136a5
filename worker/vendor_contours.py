"""An RTSTRUCT of any maker as plain ROIs and contours (PS3.3 A.19.3).

It is read part by part, so that a bad item costs itself and nothing else. ROIs are joined by number, never by place:
writers leave empty ones out of ROI Contour Sequence. Nothing is judged here; see `worker/vendor_masks.py` for masks
and `worker/verify.py` for what a planning system would dislike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, RTStructureSetStorage

from worker.errors import Rejected
from worker.instance_files import is_dicom
from worker.unchecked_values import (
    DAMAGED,
    bytes_of,
    integer_of,
    items_at,
    items_of,
    text_of,
    transfer_syntax,
)

CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
REFERENCED_SERIES: Final = (
    "ReferencedFrameOfReferenceSequence",
    "RTReferencedStudySequence",
    "RTReferencedSeriesSequence",
)
MAX_DS_BYTES: Final = 16
MAX_FILE_BYTES: Final = 1_000_000_000
_NO_POINTS: Final = np.zeros((0, 3))


class NotStructureSet(Rejected):
    """The file is no RTSTRUCT, or too damaged to be read as one."""

    code = "not-rtstruct"
    default_message = "The file is not an RT Structure Set."
    default_remedy = "Give one RTSTRUCT file; export it again if it is damaged."


@dataclass(frozen=True, kw_only=True)
class VendorContour:
    """One item of Contour Sequence (PS3.3 C.8.8.6).

    Attributes:
        place: its place in the ROI, from 1.
        kind: Contour Geometric Type, empty if absent.
        points_mm: (n, 3) LPS mm; none if the numbers cannot be read.
        fault: why they cannot: `no-points`, `not-numbers`, `not-finite`, `not-triples`.
        stated_points: Number of Contour Points, None if absent or no number.
        data_bytes: length of Contour Data.
        long_numbers: numbers of more than 16 bytes (PS3.5 6.2, DS).
        image_uids: SOP Instance UIDs of its Contour Image Sequence.
        image_classes: the SOP Class UIDs beside them.
    """

    place: int
    kind: str
    points_mm: NDArray[np.float64]
    fault: str | None
    stated_points: int | None
    data_bytes: int
    long_numbers: int
    image_uids: tuple[str, ...]
    image_classes: tuple[str, ...]

    @property
    def closed(self) -> bool:
        """Whether it encloses an area."""
        return self.kind in CLOSED


@dataclass(frozen=True, kw_only=True)
class VendorRoi:
    """One ROI, joined by its number from the three sequences.

    Attributes:
        number: ROI Number; None if it has none.
        name: ROI Name, as it stands there.
        defined: its item of Structure Set ROI Sequence; None if only contours bear its number.
        drawn: its items of ROI Contour Sequence, usually one.
        observed: its items of RT ROI Observations Sequence.
        contours: all its contours.
    """

    number: int | None
    name: str
    defined: Dataset | None
    drawn: tuple[Dataset, ...]
    observed: tuple[Dataset, ...]
    contours: tuple[VendorContour, ...]

    @property
    def frame_of_reference_uid(self) -> str:
        """The frame that its millimetres belong to; empty if it does not say."""
        return "" if self.defined is None else text_of(self.defined, "ReferencedFrameOfReferenceUID")

    @property
    def closed(self) -> tuple[VendorContour, ...]:
        """The contours that enclose an area."""
        return tuple(contour for contour in self.contours if contour.closed)


@dataclass(frozen=True, kw_only=True)
class VendorStructureSet:
    """One RTSTRUCT.

    Attributes:
        dataset: as it was read.
        rois: in the order of Structure Set ROI Sequence; then contours and observations of numbers it does not have.
    """

    dataset: Dataset
    rois: tuple[VendorRoi, ...]

    @property
    def sop_instance_uid(self) -> str:
        """The instance."""
        return text_of(self.dataset, "SOPInstanceUID")

    def listed_images(self) -> dict[str, str]:
        """Images that Referenced Frame of Reference Sequence lists: SOP Instance UID to Series Instance UID."""
        listed = {}
        for series in items_at(self.dataset, *REFERENCED_SERIES):
            for image in items_of(series, "ContourImageSequence"):
                listed[text_of(image, "ReferencedSOPInstanceUID")] = text_of(series, "SeriesInstanceUID")
        return listed


def read_structure_set(path: Path) -> VendorStructureSet:
    """Read an RTSTRUCT file, with or without file meta information, in any uncompressed transfer syntax.

    Raises:
        NotStructureSet: it is something else, or damaged beyond reading.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise NotStructureSet(f"The file has more than {MAX_FILE_BYTES // 10**6} MB; no RTSTRUCT has.")
    if not is_dicom(path):
        raise NotStructureSet("The file is not DICOM.")
    if transfer_syntax(path) == DeflatedExplicitVRLittleEndian:
        raise NotStructureSet(
            "The file is deflated, which is read of images only.",
            remedy="Export it uncompressed, in Implicit VR Little Endian.",
        )
    try:
        dataset = dcmread(path, force=True)
        structure_set = parse_structure_set(dataset)
    except DAMAGED:
        raise NotStructureSet("The file is damaged and cannot be read.") from None
    kind, modality = text_of(dataset, "SOPClassUID"), text_of(dataset, "Modality")
    if kind not in {"", RTStructureSetStorage} or (not kind and modality != "RTSTRUCT"):
        if "StructureSetROISequence" not in dataset:
            raise NotStructureSet()
    return structure_set


def parse_structure_set(dataset: Dataset) -> VendorStructureSet:
    """A data set's ROIs; never raises for what stands in them."""
    defined = items_of(dataset, "StructureSetROISequence")
    drawn = _by_number(items_of(dataset, "ROIContourSequence"))
    observed = _by_number(items_of(dataset, "RTROIObservationsSequence"))
    rois = []
    for item in defined:
        number = integer_of(item, "ROINumber")
        # Of two ROIs with one number the first has the contours: they cannot be told apart.
        rois.append(_roi(number, item, drawn.pop(number, []), observed.pop(number, [])))
    for number in dict.fromkeys([*drawn, *observed]):
        rois.append(_roi(number, None, drawn.get(number, []), observed.get(number, [])))
    return VendorStructureSet(dataset=dataset, rois=tuple(rois))


def contours_of(drawn: Dataset) -> Iterator[VendorContour]:
    """The contours of an item of ROI Contour Sequence, in its order."""
    for place, item in enumerate(items_of(drawn, "ContourSequence"), start=1):
        yield _contour(item, place)


def _roi(
    number: int | None, defined: Dataset | None, drawn: list[Dataset], observed: list[Dataset]
) -> VendorRoi:
    return VendorRoi(
        number=number,
        name="" if defined is None else text_of(defined, "ROIName"),
        defined=defined,
        drawn=tuple(drawn),
        observed=tuple(observed),
        contours=tuple(contour for item in drawn for contour in contours_of(item)),
    )


def _by_number(items: list[Dataset]) -> dict[int | None, list[Dataset]]:
    numbered: dict[int | None, list[Dataset]] = {}
    for item in items:
        numbered.setdefault(integer_of(item, "ReferencedROINumber"), []).append(item)
    return numbered


def _contour(item: Dataset, place: int) -> VendorContour:
    data = bytes_of(item, "ContourData") or b""
    numbers = data.rstrip(b" \0").split(b"\\") if data.strip(b" \0") else []
    points, fault = _points(numbers)
    images = items_of(item, "ContourImageSequence")
    return VendorContour(
        place=place,
        kind=text_of(item, "ContourGeometricType"),
        points_mm=points,
        fault=fault,
        stated_points=integer_of(item, "NumberOfContourPoints"),
        data_bytes=len(data),
        long_numbers=sum(len(number) > MAX_DS_BYTES for number in numbers),
        image_uids=tuple(text_of(image, "ReferencedSOPInstanceUID") for image in images),
        image_classes=tuple(text_of(image, "ReferencedSOPClassUID") for image in images),
    )


def _points(numbers: list[bytes]) -> tuple[NDArray[np.float64], str | None]:
    """Points (n, 3) of Contour Data, or why there are none."""
    if not numbers:
        return _NO_POINTS, "no-points"
    try:
        values = np.array(numbers).astype(np.float64)
    except ValueError:
        return _NO_POINTS, "not-numbers"
    if not np.isfinite(values).all() or np.abs(values).max() > 1e9:
        return _NO_POINTS, "not-finite"
    if len(values) % 3:
        return _NO_POINTS, "not-triples"
    return values.reshape(-1, 3), None
