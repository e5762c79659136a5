"""An RTSTRUCT laid on its images, ready to be looked at."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.prepare_record import without_patient
from worker.raster import Raster, fill
from worker.unchecked_values import bytes_of, transfer_syntax
from worker.vendor_contours import VendorRoi, VendorStructureSet, read_structure_set
from worker.vendor_images import IDENTITY, ImageStack, read_images
from worker.vendor_placing import Placed, place

_SHOWN: Final = 64
_FILLED: Final = 20_000  # a longer contour is objected to; filling it would cost gigabytes
_NAMING: Final = ("PatientID", "PatientName", "PatientBirthDate")


@dataclass(frozen=True, kw_only=True)
class LaidRoi:
    """One ROI with those of its closed contours that have three points or more, each on its image.

    Attributes:
        roi: as it stands in the structure set.
        shown: its number and name as they may be printed.
        placed: the contours, in its order.
        rasters: their pixels; none of contours that do not run along the images, or are absurdly long.
    """

    roi: VendorRoi
    shown: tuple[int | None, str]
    placed: tuple[Placed, ...]
    rasters: tuple[Raster | None, ...]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is verified.

    Attributes:
        structure_set: the RTSTRUCT.
        syntax: its transfer syntax; empty without file meta information.
        stacks: every image series of the folder, by Series Instance UID.
        stack: the one that it is held against.
        rois: its ROIs.
    """

    structure_set: VendorStructureSet
    syntax: str
    stacks: Mapping[str, ImageStack]
    stack: ImageStack
    rois: tuple[LaidRoi, ...]


def read_subject(rtstruct: Path, images: Path) -> Subject:
    """Read an RTSTRUCT and the images below a folder.

    Raises:
        NotStructureSet: the file is none.
        NoDicom: the folder holds no image.
        NotCT: it holds images of several frames only.
    """
    structure_set = read_structure_set(rtstruct)
    stacks = read_images(images)
    stack = stacks[_series(structure_set, stacks)]
    words = set(_patient_words(structure_set, stack))
    return Subject(
        structure_set=structure_set,
        syntax=transfer_syntax(rtstruct),
        stacks=stacks,
        stack=stack,
        rois=tuple(_laid(roi, stack, words) for roi in structure_set.rois),
    )


def _series(structure_set: VendorStructureSet, stacks: Mapping[str, ImageStack]) -> str:
    """The series that it lists, else that its contours name, else the one of most images."""
    series_of = {uid: name for name, stack in stacks.items() for uid in stack.sop_classes}
    listed = Counter(uid for uid in structure_set.listed_images().values() if uid in stacks)
    named = Counter(
        series_of[uid]
        for roi in structure_set.rois
        for contour in roi.contours
        for uid in contour.image_uids
        if uid in series_of
    )
    for votes in (listed, named, Counter({uid: len(stack.planes) for uid, stack in stacks.items()})):
        if votes:
            return votes.most_common(1)[0][0]
    raise ValueError("no series")


def _laid(roi: VendorRoi, stack: ImageStack, words: set[str]) -> LaidRoi:
    placed = tuple(
        place(contour, stack)
        for contour in roi.closed
        if contour.fault is None and len(contour.points_mm) >= 3
    )
    rasters = tuple(
        fill(each.points_px, each.plane, stack.shape_zyx)
        if each.parallel and len(each.points_px) <= _FILLED
        else None
        for each in placed
    )
    name = without_patient(roi.name, words)
    shown = "".join(c if c.isprintable() else "?" for c in name)[:_SHOWN]
    return LaidRoi(roi=roi, shown=(roi.number, shown), placed=placed, rasters=rasters)


def _patient_words(structure_set: VendorStructureSet, stack: ImageStack) -> Iterator[str]:
    """What may not be shown: parts of the patient's name, number and birth date, of either object."""
    identities = [
        {keyword: bytes_of(structure_set.dataset, keyword) or b"" for keyword in IDENTITY},
        stack.planes[0].identity,
    ]
    for identity in identities:
        for keyword in _NAMING:
            text = identity.get(keyword, b"").decode("utf-8", "replace").strip(" \0")
            yield from (word for word in {text, *re.split(r"[\W_]+", text)} if len(word) >= 3)
