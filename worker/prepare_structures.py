"""The structures of one structure set: read, looked at, and taken or left out with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from worker.plausibility import USUAL_CC
from worker.prepare_choice import StructureSet
from worker.prepare_record import Reason, StructureRecord, without_patient
from worker.prepare_shape import ContourProblem, Shape, shape_of
from worker.series import CTSeries

LEFT, RIGHT = "Femur_Head_L", "Femur_Head_R"
_MIDDLE = ("CTV", "Bladder", "Rectum", "PenileBulb")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One structure of the map, with its shape if it was taken."""

    structure: str
    shape: Shape | None = None
    roi: str | None = None
    rule: str | None = None
    reason: Reason | None = None
    findings: tuple[Reason, ...] = ()

    @property
    def record(self) -> StructureRecord:
        """As it is reported."""
        return StructureRecord(
            structure=self.structure,
            taken=self.shape is not None and self.reason is None,
            roi=self.roi,
            rule=self.rule,
            volume_cc=None if self.shape is None else round(self.shape.volume_cc, 2),
            slices=None if self.shape is None else self.shape.contoured,
            reason=self.reason,
            findings=self.findings,
        )

    def left_out(self, code: str, message: str) -> Taken:
        """The same, not taken."""
        return replace(self, reason=Reason(code=code, message=message))


def read_structures(
    structure_set: StructureSet, series: CTSeries, *, keep_unusual: bool
) -> tuple[dict[str, Taken], Reason | None]:
    """Each structure of the map; and a reason to leave out the whole case, if sides are swapped.

    Args:
        structure_set: with the ROIs that the map found.
        series: the CT that it was drawn on.
        keep_unusual: take structures of unusual volume all the same, with a finding.
    """
    names = dict(_without_doubles(structure_set))
    read = {name: _read(name, names, structure_set, series) for name in structure_set.found}
    sides = _wrong_sides(read)
    return {name: _weighed(taken, keep_unusual=keep_unusual) for name, taken in read.items()}, sides


def _without_doubles(structure_set: StructureSet) -> Iterator[tuple[str, str | None]]:
    """Per structure another one that would take the same ROI, if there is one."""
    for name, found in structure_set.found.items():
        shared = [
            other
            for other, theirs in structure_set.found.items()
            if other != name and set(theirs.rois) & set(found.rois)
        ]
        yield name, shared[0] if shared else None


def _read(
    name: str, shared: Mapping[str, str | None], structure_set: StructureSet, series: CTSeries
) -> Taken:
    found, words = structure_set.found[name], structure_set.patient_words
    taken = Taken(structure=name)
    if not found.rois:
        if name in structure_set.empty:
            taken = replace(taken, roi=without_patient(structure_set.empty[name], words))
            return taken.left_out("empty", "The ROI has no contours.")
        return taken.left_out("missing", "No ROI has a name that the map knows.")
    names = [without_patient(structure_set.rois[index].name, words) for index in found.rois]
    if len(found.rois) > 1:
        return taken.left_out("ambiguous", f"Several ROIs match: {', '.join(names)}.")
    taken = replace(taken, roi=names[0], rule=found.rules[0])
    if shared[name] is not None:
        return taken.left_out("ambiguous", f"The ROI matches {shared[name]} too.")
    roi = structure_set.rois[found.rois[0]]
    if roi.frame_of_reference_uid not in {"", series.frame_of_reference_uid}:
        return taken.left_out("other-frame", "The ROI is drawn in another frame of reference than the CT's.")
    try:
        assert roi.contours is not None
        shape = shape_of(roi.contours, series, structure_set.elsewhere)
    except ContourProblem as problem:
        return taken.left_out(problem.code, problem.message)
    return replace(
        taken, shape=shape, findings=tuple(_findings(shape, roi.item.get("ROIGenerationAlgorithm")))
    )


def _findings(shape: Shape, algorithm: object) -> Iterator[Reason]:
    if shape.bridged:
        message = f"{shape.bridged} slices between its ends have no contour and were interpolated."
        yield Reason(code="bridged", message=message)
    if shape.nested:
        yield Reason(code="overlapping", message="Contours overlap on a slice; they are read as one area.")
    if algorithm == "AUTOMATIC":
        yield Reason(code="automatic", message="It is marked as made by a machine; was it reviewed?")


def _weighed(taken: Taken, *, keep_unusual: bool) -> Taken:
    """Left out, or noted, if the volume is one that hardly any patient has."""
    if taken.shape is None:
        return taken
    low, high = USUAL_CC[taken.structure]
    volume = taken.shape.volume_cc
    if low <= volume <= high:
        return taken
    message = f"It has {volume:.1f} cc; {low:g} to {high:g} cc are usual."
    if keep_unusual:
        finding = Reason(code="unusual-volume", message=message)
        return replace(taken, findings=(*taken.findings, finding))
    return taken.left_out("unusual-volume", message)


def _wrong_sides(read: Mapping[str, Taken]) -> Reason | None:
    """Why left and right cannot be trusted: x rises to the patient's left (PS3.3 C.7.6.2.1.1)."""
    x = {name: float(t.shape.centre_mm[0]) for name, t in read.items() if t.shape is not None}
    if LEFT in x and RIGHT in x:
        wrong = x[LEFT] <= x[RIGHT]
    else:
        middle = [x[name] for name in _MIDDLE if name in x]
        centre = float(np.mean(middle)) if middle else None
        wrong = centre is not None and (x.get(LEFT, np.inf) <= centre or x.get(RIGHT, -np.inf) >= centre)
    if not wrong:
        return None
    message = (
        "By their position the femoral heads are on each other's side: either names are swapped or the images "
        "are mirrored. Correct the names in the planning system, or leave the case out."
    )
    return Reason(code="sides-swapped", message=message)
