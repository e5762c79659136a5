"""The ROIs of an RTSTRUCT: numbers, names, types, colours, observations, approval."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from worker.roi_naming import MAX_NAME
from worker.unchecked_values import bytes_of, items_of, text_of
from worker.vendor_contours import VendorRoi
from worker.verify_codes import Objection
from worker.verify_subject import LaidRoi, Subject

# PS3.3 C.8.8.8.1
DEFINED_TYPES: Final = frozenset(
    "EXTERNAL PTV CTV GTV TREATED_VOLUME IRRAD_VOLUME OAR BOLUS AVOIDANCE ORGAN MARKER REGISTRATION ISOCENTER "
    "CONTRAST_AGENT CAVITY BRACHY_CHANNEL BRACHY_ACCESSORY BRACHY_SRC_APP BRACHY_CHNL_SHLD SUPPORT FIXATION "
    "DOSE_REGION CONTROL DOSE_MEASUREMENT ARTIFACT_BOLUS".split()
)
_APPROVALS: Final = frozenset({"UNAPPROVED", "APPROVED", "REJECTED"})
_REVIEW: Final = ("ReviewDate", "ReviewTime", "ReviewerName")


def roi_objections(subject: Subject) -> Iterator[Objection]:
    """Everything about the ROIs but their contours."""
    dataset = subject.structure_set.dataset
    yield from _approval(dataset)
    if not items_of(dataset, "StructureSetROISequence"):
        yield Objection(code="no-roi", message="It defines no ROI.")
    yield from _numbers(subject)
    yield from _same_names(subject.rois)
    for laid in subject.rois:
        if laid.roi.defined is not None:
            yield from _name(laid)
            yield from _observations(laid)
        yield from _drawing(laid)


def _approval(dataset: Dataset) -> Iterator[Objection]:
    status = text_of(dataset, "ApprovalStatus")
    if status == "REJECTED":
        yield Objection(code="rejected", message="Its approval status is REJECTED.")
    if not status:
        yield Objection(code="approval", message="It has no approval status.")
    elif status not in _APPROVALS:
        yield Objection(code="approval", message="Its approval status is none that the standard has.")
    elif status != "UNAPPROVED" and (missing := [k for k in _REVIEW if not text_of(dataset, k)]):
        message = f"It is {status}, without {', '.join(missing)}."
        yield Objection(code="approval", message=message, count=len(missing))


def _numbers(subject: Subject) -> Iterator[Objection]:
    for laid in subject.rois:
        roi = laid.roi
        if roi.number is None:
            message = (
                "An ROI has no number, so its contours cannot be found."
                if roi.defined
                else ("Contours or observations name no ROI number.")
            )
            yield Objection(code="number-missing", message=message, roi=laid.shown)
        elif roi.defined is None:
            yield Objection(
                code="number-unknown",
                message=f"Contours or observations name ROI {roi.number}, which is not defined.",
                roi=laid.shown,
            )
        if len(roi.drawn) > 1 and roi.number is not None:
            message = f"{len(roi.drawn)} items of ROI Contour Sequence name it."
            yield Objection(code="number-twice", message=message, roi=laid.shown, count=len(roi.drawn))
    numbers = Counter(laid.roi.number for laid in subject.rois if laid.roi.defined is not None)
    for number, count in numbers.items():
        if count > 1 and number is not None:
            message = f"{count} ROIs have the number {number}; their contours cannot be told apart."
            yield Objection(code="number-twice", message=message, roi=(number, ""), count=count)


def _same_names(rois: tuple[LaidRoi, ...]) -> Iterator[Objection]:
    groups: dict[str, list[LaidRoi]] = {}
    for laid in rois:
        if laid.roi.name:
            groups.setdefault(laid.roi.name.casefold(), []).append(laid)
    for group in groups.values():
        if len(group) > 1:
            numbers = ", ".join(str(laid.roi.number) for laid in group)
            message = f"{len(group)} ROIs have this name, whatever the case: {numbers}."
            yield Objection(code="name-twice", message=message, roi=group[0].shown, count=len(group))


def _name(laid: LaidRoi) -> Iterator[Objection]:
    name = laid.roi.name
    if not name:
        yield Objection(code="name-missing", message="It has no name.", roi=laid.shown)
        return
    if len(name) > MAX_NAME:
        message = f"Its name has {len(name)} characters; systems may cut it to {MAX_NAME}."
        yield Objection(code="name-length", message=message, roi=laid.shown)
    if not name.isascii() or not name.isprintable() or b"\\" in _raw_name(laid.roi):
        message = "Its name has characters that not every system reads."
        yield Objection(code="name-characters", message=message, roi=laid.shown)


def _raw_name(roi: VendorRoi) -> bytes:
    return b"" if roi.defined is None else bytes_of(roi.defined, "ROIName") or b""


def _observations(laid: LaidRoi) -> Iterator[Objection]:
    if not laid.roi.observed:
        yield Objection(code="no-observation", message="It has no RT ROI Observation.", roi=laid.shown)
        return
    kind = text_of(laid.roi.observed[0], "RTROIInterpretedType")
    if not kind:
        yield Objection(code="type-missing", message="Its interpreted type is empty.", roi=laid.shown)
    elif kind not in DEFINED_TYPES:
        yield Objection(
            code="type-unknown", message="Its interpreted type is no defined term.", roi=laid.shown
        )
    codes = [code for item in laid.roi.observed for code in items_of(item, "RTROIIdentificationCodeSequence")]
    bare = sum(not text_of(code, "ContextGroupVersion") for code in codes)
    if bare:
        message = "Its identification code has no Context Group Version."
        yield Objection(code="code-version", message=message, roi=laid.shown, count=bare)


def _drawing(laid: LaidRoi) -> Iterator[Objection]:
    empty = [
        item for item in laid.roi.drawn if "ContourSequence" in item and not items_of(item, "ContourSequence")
    ]
    if empty:
        message = "Its Contour Sequence has no items."
        yield Objection(code="empty-sequence", message=message, roi=laid.shown)
    if not laid.roi.contours:
        yield Objection(code="empty-roi", message="It has no contours.", roi=laid.shown)
    wrong = [item for item in laid.roi.drawn if "ROIDisplayColor" in item and not _is_colour(item)]
    if wrong:
        yield Objection(code="colour", message="Its display colour is no colour.", roi=laid.shown)


def _is_colour(item: Dataset) -> bool:
    parts = (bytes_of(item, "ROIDisplayColor") or b"").split(b"\\")
    texts = [part.strip(b" \0").decode("latin-1") for part in parts]
    return len(texts) == 3 and all(re.fullmatch("[0-9]{1,3}", text) and int(text) <= 255 for text in texts)
