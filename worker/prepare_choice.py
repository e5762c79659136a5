"""Of the structure sets on one CT the one to learn from, and of its ROIs those that are our structures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from worker.prepare_record import Reason, StructureSetRecord
from worker.prepare_roi_map import Found, RoiMap
from worker.unchecked_values import DAMAGED

_DRAFT: Final = "AI DRAFT"


@dataclass(frozen=True, kw_only=True)
class Roi:
    """One ROI: its items in Structure Set ROI and ROI Contour Sequence (none if it was never drawn)."""

    name: str
    item: Dataset
    contours: Dataset | None

    @property
    def drawn(self) -> bool:
        """Whether it has any contour."""
        return self.contours is not None and bool(self.contours.get("ContourSequence"))

    @property
    def frame_of_reference_uid(self) -> str:
        """The frame that it says its millimetres belong to; empty if it does not say."""
        return str(self.item.get("ReferencedFrameOfReferenceUID", "") or "")


@dataclass(frozen=True, kw_only=True)
class StructureSet:
    """One RTSTRUCT, read.

    Attributes:
        rois: its ROIs, in its order.
        found: per structure, indices of the ROIs that the map takes for it.
        empty: structures of which the map finds nothing but ROIs without contours.
        elsewhere: images of other series that it names, and which series.
    """

    sop_instance_uid: str
    rule: str
    dataset: Dataset
    rois: tuple[Roi, ...]
    found: Mapping[str, Found]
    empty: Mapping[str, str]
    elsewhere: Mapping[str, str]

    @property
    def unmatched(self) -> list[str]:
        """Names of the ROIs that were taken for no structure."""
        matched = {index for found in self.found.values() for index in found.rois}
        names = [roi.name for index, roi in enumerate(self.rois) if index not in matched]
        return [name for name in names if name not in self.empty.values()]

    @property
    def patient_words(self) -> set[str]:
        """What may not be reported: parts of the patient's name, number and birth date."""
        texts = [str(self.dataset.get(k, "") or "") for k in ("PatientName", "PatientID", "PatientBirthDate")]
        words = {word for text in texts for word in re.split(r"[\W_]+", text) if len(word) >= 3}
        return words | {text for text in texts if len(text) >= 3}


def choose(
    files: Sequence[tuple[Path, str, str]], series_instance_uid: str, roi_map: RoiMap, *, newest: bool
) -> tuple[StructureSet | None, list[StructureSetRecord], Reason | None]:
    """The structure set to learn from.

    Args:
        files: per RTSTRUCT its path, SOP Instance UID, and the rule that brought it to this CT.
        series_instance_uid: the CT.
        roi_map: which ROI is which structure.
        newest: take the newest where several remain.

    Returns:
        The structure set, or None with the reason; and what became of each.
    """
    remaining, records = [], []
    for path, uid, rule in files:
        structure_set, reason = _read(path, rule, series_instance_uid, roi_map)
        if structure_set is None:
            records.append(StructureSetRecord(sop_instance_uid=uid, used=False, rule=rule, reason=reason))
        else:
            remaining.append(structure_set)
    chosen, reason = _one(remaining, newest=newest)
    for structure_set in remaining:
        records.append(
            StructureSetRecord(
                sop_instance_uid=structure_set.sop_instance_uid,
                used=structure_set is chosen,
                rule=structure_set.rule,
                reason=None if structure_set is chosen else reason,
            )
        )
    if chosen is not None:
        return chosen, records, None
    return None, records, reason or records[0].reason


def _one(sets: Sequence[StructureSet], *, newest: bool) -> tuple[StructureSet | None, Reason | None]:
    """The structure set, and why the others are not it."""
    if len(sets) <= 1:
        return (sets[0] if sets else None), None
    approved = [s for s in sets if s.dataset.get("ApprovalStatus") == "APPROVED"]
    if len(approved) == 1:
        return approved[0], Reason(code="not-approved", message="Another structure set is the approved one.")
    if newest:
        dated = sorted(sets, key=_date)
        if _date(dated[-1]) > _date(dated[-2]):
            return dated[-1], Reason(code="older", message="Another structure set is newer.")
    message = f"{len(sets)} structure sets on this CT hold our structures, and none is the only approved one."
    return None, Reason(code="several-structure-sets", message=message)


def _date(structure_set: StructureSet) -> tuple[str, str]:
    dataset = structure_set.dataset
    return str(dataset.get("StructureSetDate", "") or ""), str(dataset.get("StructureSetTime", "") or "")


def _read(
    path: Path, rule: str, series_instance_uid: str, roi_map: RoiMap
) -> tuple[StructureSet | None, Reason | None]:
    try:
        dataset = dcmread(path, force=True)
        if dataset.get("ApprovalStatus") == "REJECTED":
            return None, Reason(code="rejected", message="Its approval status is REJECTED.")
        if dataset.get("Manufacturer") == "Penumbra" and _DRAFT in str(dataset.get("SeriesDescription", "")):
            return None, Reason(code="ai-draft", message="It is a draft that Penumbra made, not a truth.")
        rois = tuple(_rois(dataset))
        elsewhere = dict(_elsewhere(dataset, series_instance_uid))
    except DAMAGED:
        return None, Reason(code="unreadable", message="The structure set is damaged.")
    drawn = [index for index, roi in enumerate(rois) if roi.drawn]
    found = {
        structure: Found(rois=tuple(drawn[i] for i in each.rois), rules=each.rules)
        for structure, each in roi_map.find([rois[index].name for index in drawn]).items()
    }
    if not any(each.rois for each in found.values()):
        return None, Reason(
            code="no-roi", message="None of its ROIs has contours and a name that the map knows."
        )
    undrawn = roi_map.find([roi.name for roi in rois if not roi.drawn])
    names = [roi.name for roi in rois if not roi.drawn]
    empty = {s: names[undrawn[s].rois[0]] for s in undrawn if undrawn[s].rois and not found[s].rois}
    structure_set = StructureSet(
        sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
        rule=rule,
        dataset=dataset,
        rois=rois,
        found=found,
        empty=empty,
        elsewhere=elsewhere,
    )
    return structure_set, None


def _rois(dataset: Dataset) -> Iterator[Roi]:
    """ROIs by number: writers leave empty ones out of the contours, so that places do not agree."""
    contours = {int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or ()}
    for item in dataset.get("StructureSetROISequence") or ():
        yield Roi(
            name=str(item.get("ROIName", "") or ""), item=item, contours=contours.get(int(item.ROINumber))
        )


def _elsewhere(dataset: Dataset, series_instance_uid: str) -> Iterator[tuple[str, str]]:
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for series in study.get("RTReferencedSeriesSequence") or ():
                uid = str(series.get("SeriesInstanceUID", ""))
                for image in series.get("ContourImageSequence") or () if uid != series_instance_uid else ():
                    yield str(image.get("ReferencedSOPInstanceUID", "")), uid
