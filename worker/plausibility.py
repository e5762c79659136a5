"""Could this be a man's pelvis? A last look at the result before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import ResultImplausible
from worker.finding import Finding
from worker.result import Result, StructureResult

# Wider than patients: what lies outside is worth a look, not a refusal.
USUAL_CC: Final = {
    "CTV": (20.0, 350.0),
    "Bladder": (25.0, 1200.0),
    "Rectum": (15.0, 350.0),
    "Femur_Head_L": (20.0, 130.0),
    "Femur_Head_R": (20.0, 130.0),
    "PenileBulb": (0.8, 20.0),
}
# Mean CT number inside: fluid with or without a little contrast, flesh, stool and gas, bone.
USUAL_HU: Final = {
    "CTV": (-60.0, 120.0),
    "Bladder": (-40.0, 60.0),
    "Rectum": (-600.0, 150.0),
    "Femur_Head_L": (100.0, 900.0),
    "Femur_Head_R": (100.0, 900.0),
    "PenileBulb": (-60.0, 150.0),
}
# Middle of a structure from the middle between the femoral heads, mm to the left, the back, the head (LPS): from, to.
USUAL_PLACE_MM: Final = {
    "CTV": ((-25, -20, -50), (25, 65, 30)),
    "Bladder": ((-45, -75, -45), (45, 45, 90)),
    "Rectum": ((-50, 10, -30), (50, 110, 70)),
    "PenileBulb": ((-25, -35, -100), (25, 45, -25)),
}
# The first lies nearer to the head, or below the second by at most so many mm: a bladder's middle lies up to 7 mm below
# the CTV's in 40 phantoms, the bulb's never less than 30 mm below it.
ABOVE_EACH_OTHER: Final = (
    ("Bladder", "CTV", 20.0),
    ("Bladder", "PenileBulb", 0.0),
    ("CTV", "PenileBulb", 0.0),
)
CONTRAST_HU: Final = USUAL_HU["Bladder"][1]
NEARLY_EMPTY_CC: Final = 60.0
"""The cohort's bladders are meant to have 60 to 600 cc; patients are planned with a comfortably filled one."""


def check_result(result: Result) -> tuple[Finding, ...]:
    """Unusual volumes, places and CT numbers, and structures that the scan cuts, as findings.

    Raises:
        ResultImplausible: the left femoral head does not lie to the left of the right one.
    """
    masks = {s.name: s.mean >= s.level for s in result.structures}
    middles = {name: _middle_mm(mask, result) for name, mask in masks.items() if mask.any()}
    left, right = middles.get("Femur_Head_L"), middles.get("Femur_Head_R")
    if left is not None and right is not None and left[0] <= right[0]:
        raise ResultImplausible("The femoral heads were found on the wrong sides.")
    findings = [f for s in result.structures for f in _of_structure(s, masks[s.name], result)]
    if left is not None and right is not None:
        findings += _unusual_places(middles, (left + right) / 2)
    findings += _upside_down(middles)
    return tuple(findings)


def _of_structure(s: StructureResult, mask: NDArray[np.bool_], result: Result) -> Iterator[Finding]:
    cc = result.series.grid.volume_mm3(mask) / 1000
    low, high = USUAL_CC[s.name]
    if not low <= cc <= high:
        text = f"{s.name} has {cc:.1f} cc; {low:g} to {high:g} cc are usual. Check its contours."
        yield Finding(code="unusual-volume", message=text)
    elif s.name == "Bladder" and cc < NEARLY_EMPTY_CC:
        text = (
            f"The Bladder has {cc:.0f} cc: it seems nearly empty, which the networks have seldom seen and which is "
            "easily contoured too large. Check its contours."
        )
        yield Finding(code="nearly-empty-bladder", message=text)
    if not mask.any():
        return
    hu = float(result.series.hu[mask].mean())
    low, high = USUAL_HU[s.name]
    if s.name == "Bladder" and hu > CONTRAST_HU:
        text = f"The Bladder reads {hu:.0f} HU: it seems to hold contrast medium. Check its contours and the CTV's."
        yield Finding(code="bladder-contrast", message=text)
    elif not low <= hu <= high:
        text = f"{s.name} reads {hu:.0f} HU; {low:g} to {high:g} HU are usual. Check its contours."
        yield Finding(code="unusual-hu", message=text)
    yield from _cut_by_scan(s.name, mask, result)


def _cut_by_scan(name: str, mask: NDArray[np.bool_], result: Result) -> Iterator[Finding]:
    """A structure on the first or the last slice may go on beyond it."""
    upwards = result.series.grid.direction[8] > 0  # whether slices rise towards the head
    for index, is_last in ((0, False), (-1, True)):
        if mask[index].any():
            end = "upper" if is_last == upwards else "lower"
            text = f"{name} reaches the scan's {end} end: what lies beyond it is missing from the contours."
            yield Finding(code="cut-off-by-scan", message=text)


def _unusual_places(
    middles: dict[str, NDArray[np.float64]], between: NDArray[np.float64]
) -> Iterator[Finding]:
    """Places measured from the middle between the femoral heads."""
    for name, (least, most) in USUAL_PLACE_MM.items():
        if name not in middles:
            continue
        away = middles[name] - between
        if (away < least).any() or (away > most).any():
            where = ", ".join(f"{a:+.0f}" for a in away)
            text = (
                f"{name} lies at an unusual place, {where} mm (left, back, up) from the middle between the femoral "
                "heads. Check its contours."
            )
            yield Finding(code="unusual-place", message=text)


def _upside_down(middles: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    """Anatomy from head to feet, whatever the orientation says of which end is which."""
    for upper, lower, by_mm in ABOVE_EACH_OTHER:
        if upper in middles and lower in middles and middles[upper][2] + by_mm <= middles[lower][2]:
            text = (
                f"{upper} lies nearer to the feet than {lower}: head and feet may be exchanged in the image, whatever "
                "its orientation says. Check the image before any use."
            )
            yield Finding(code="upside-down", message=text)


def _middle_mm(mask: NDArray[np.bool_], result: Result) -> NDArray[np.float64]:
    """Patient coordinates (x, y, z), LPS mm, of a structure's middle."""
    z, y, x = np.argwhere(mask).mean(0)
    return np.asarray(result.series.grid.to_patient((x, y, z)))
