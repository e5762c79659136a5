"""Does a CTV keep the consensus? Eight advisory checks against the RTOG's rules for the prostate bed.

Michalski et al., Int J Radiat Oncol Biol Phys 2010;76:361; the checks and their limits are those of SCIENCE 2.6. They
point at what a physician may want to look at. They block nothing, and a CTV that passes all of them may be wrong.

Heights are compared to half a slice, gaps in the plane to half a pixel: finer than that a contour does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.pelvic_block import Mask, PelvicBlock

Verdict = Literal["pass", "warn", "not assessable"]

INFERIOR_MM = (5.0, 15.0)  # G1: below the bladder's lowest slice, which stands for the anastomosis
BONE_SHARE, PUBIC_GAP_MM = 0.005, 5.0  # G3
BLADDER_STRIP_MM = (10.0, 20.0)  # G4
RECTUM_SHARE, RECTAL_GAP_MM = 0.02, 3.0  # G5
SUPERIOR_MM = (20.0, 45.0)  # G6: above the top of the symphysis
VOLUME_CC = (40.0, 200.0)  # G8
NEAR_MIDLINE_MM = 15.0
LEAST_COLUMNS = 8  # a median of fewer says nothing


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: what it is, what came out, and the sentence for a clinician."""

    code: str
    title: str
    verdict: Verdict
    message: str


def check_guideline(block: PelvicBlock) -> tuple[Check, ...]:
    """All eight checks of the CTV of a block, in order; the block must hold a CTV."""
    ctv = block.masks["CTV"]
    return tuple(
        Check(code=code, title=title, verdict=verdict, message=message)
        for code, title, look in CHECKS
        for verdict, message in [look(block, ctv)]
    )


Finding = tuple[Verdict, str]


def _lower_end(block: PelvicBlock, ctv: Mask) -> Finding:
    dz = block.spacing_zyx_mm[0]
    bottom = _lowest(ctv)
    bladder, bulb = block.mask("Bladder"), block.mask("PenileBulb")
    if bladder is not None:
        below = (_lowest(bladder) - bottom) * dz
        good = INFERIOR_MM[0] - dz / 2 <= below <= INFERIOR_MM[1] + dz / 2
        where = f"{abs(below):.0f} mm {'below' if below >= 0 else 'above'} the bladder's lowest slice"
        return _verdict(good), f"The lower end lies {where}; 5 to 15 mm below are usual."
    if bulb is not None:
        above = (bottom - _highest(bulb)) * dz
        side = "above" if above >= 0 else "below"
        return _verdict(above >= -dz / 2), f"The lower end lies {abs(above):.0f} mm {side} the bulb's top."
    return "not assessable", "Neither bladder nor penile bulb is there to measure the lower end from."


def _bulb(block: PelvicBlock, ctv: Mask) -> Finding:
    bulb = block.mask("PenileBulb")
    if bulb is None:
        return "not assessable", "There is no penile bulb."
    cc = _cc(ctv & bulb, block)
    if cc:
        return "warn", f"The CTV overlaps the penile bulb by {cc:.1f} cc."
    return "pass", "The CTV keeps clear of the penile bulb."


def _bone(block: PelvicBlock, ctv: Mask) -> Finding:
    share = float((ctv & block.bone).sum() / ctv.sum())
    if share >= BONE_SHARE:
        return "warn", f"{share:.1%} of the CTV is bone; less than 0.5% is usual."
    if block.symphysis is None:
        return (
            "not assessable",
            "Little bone lies in the CTV; the symphysis, to measure the gap, was not found.",
        )
    gap = _pubic_gap_mm(block, ctv, block.symphysis)
    if gap is None:
        return "not assessable", "Little bone lies in the CTV; it has no part behind the symphysis."
    good = gap <= PUBIC_GAP_MM + block.spacing_zyx_mm[1] / 2
    return _verdict(good), f"The gap to the pubis is {gap:.0f} mm (median); up to 5 mm are usual."


def _bladder_strip(block: PelvicBlock, ctv: Mask) -> Finding:
    bladder = block.mask("Bladder")
    if bladder is None or block.symphysis is None:
        missing = "bladder" if bladder is None else "symphysis"
        return "not assessable", f"There is no {missing} to measure the strip of bladder by."
    above = slice(block.symphysis[1] + 1, _highest(ctv) + 1)
    columns = block.near_midline(NEAR_MIDLINE_MM)
    dy = block.spacing_zyx_mm[1]
    bladder, ctv = bladder[above, :, columns], ctv[above, :, columns]
    deep = (bladder.sum(1) * dy >= BLADDER_STRIP_MM[1]) & ctv.any(1)
    depth = (bladder & ctv).sum(1)[deep] * dy
    if len(depth) < LEAST_COLUMNS:
        return "not assessable", "Above the symphysis the bladder is too small beside the CTV."
    strip = float(np.median(depth))
    good = BLADDER_STRIP_MM[0] - dy / 2 <= strip <= BLADDER_STRIP_MM[1] + dy / 2
    return _verdict(
        good
    ), f"Above the symphysis {strip:.0f} mm of bladder are included; 10 to 20 mm are usual."


def _rectum(block: PelvicBlock, ctv: Mask) -> Finding:
    rectum = block.mask("Rectum")
    if rectum is None:
        return "not assessable", "There is no rectum."
    share = float((ctv & rectum).sum() / ctv.sum())
    if share >= RECTUM_SHARE:
        return "warn", f"{share:.1%} of the CTV is rectum; less than 2% is usual."
    gap = _rectal_gap_mm(block, ctv, rectum)
    if gap is None:
        return "not assessable", "Little rectum lies in the CTV; they have too few slices in common."
    good = gap <= RECTAL_GAP_MM + block.spacing_zyx_mm[1] / 2
    return _verdict(good), f"The gap to the rectum's front is {gap:.0f} mm (median); up to 3 mm are usual."


def _upper_end(block: PelvicBlock, ctv: Mask) -> Finding:
    if block.symphysis is None:
        return "not assessable", "The top of the symphysis was not found."
    dz = block.spacing_zyx_mm[0]
    above = (_highest(ctv) - block.symphysis[1]) * dz
    good = SUPERIOR_MM[0] - dz / 2 <= above <= SUPERIOR_MM[1] + dz / 2
    side = "above" if above >= 0 else "below"
    return (
        _verdict(good),
        f"The upper end lies {abs(above):.0f} mm {side} the symphysis' top; 20 to 45 mm above are usual.",
    )


def _one_piece(_block: PelvicBlock, ctv: Mask) -> Finding:
    doubts = []
    pieces = int(ndimage.label(ctv, structure=np.ones((3, 3, 3)))[1])
    if pieces > 1:
        doubts.append(f"it is in {pieces} pieces")
    if any((ndimage.binary_fill_holes(plane) & ~plane).any() for plane in ctv):
        doubts.append("it has holes")
    filled = np.flatnonzero(ctv.any((1, 2)))
    if len(missing := set(range(filled[0], filled[-1])) - set(filled.tolist())):
        doubts.append(f"{len(missing)} slices within it have no contour")
    if doubts:
        return "warn", f"The CTV is not one whole: {', '.join(doubts)}."
    return "pass", "The CTV is one piece without holes or missing slices."


def _volume(block: PelvicBlock, ctv: Mask) -> Finding:
    cc = _cc(ctv, block)
    return _verdict(VOLUME_CC[0] <= cc <= VOLUME_CC[1]), f"The CTV has {cc:.0f} cc; 40 to 200 cc are usual."


CHECKS: tuple[tuple[str, str, Callable[[PelvicBlock, Mask], Finding]], ...] = (
    ("G1", "lower end", _lower_end),
    ("G2", "penile bulb", _bulb),
    ("G3", "pubis", _bone),
    ("G4", "strip of bladder", _bladder_strip),
    ("G5", "rectum", _rectum),
    ("G6", "upper end", _upper_end),
    ("G7", "one piece", _one_piece),
    ("G8", "volume", _volume),
)


def _pubic_gap_mm(block: PelvicBlock, ctv: Mask, symphysis: tuple[int, int]) -> float | None:
    """Median over columns behind the symphysis: from bone back to the CTV's front."""
    slices, columns = slice(symphysis[0], symphysis[1] + 1), block.near_midline(NEAR_MIDLINE_MM)
    gaps = _gaps(block.bone[slices, :, columns], ctv[slices, :, columns])
    return _median_mm(gaps, block)


def _rectal_gap_mm(block: PelvicBlock, ctv: Mask, rectum: Mask) -> float | None:
    """Median over columns: from the CTV's back to the rectum's front.

    Up to the symphysis' top only, where that is known: above it the border is the mesorectal fascia.
    """
    top = block.symphysis[1] + 1 if block.symphysis else len(ctv)
    columns = block.near_midline(NEAR_MIDLINE_MM)
    gaps = _gaps(ctv[:top, :, columns], rectum[:top, :, columns])
    return _median_mm(gaps, block)


def _gaps(front: Mask, back: Mask) -> NDArray[np.intp]:
    """Voxels between two structures along y, from the last of `front` before the first of `back`.

    One value per column (z, x) in which `back` has something of `front` before it.
    """
    first_back = back.argmax(1)
    rows = np.arange(front.shape[1])[None, :, None]
    before = front & (rows < first_back[:, None, :])
    last_front = front.shape[1] - 1 - before[:, ::-1].argmax(1)
    valid = back.any(1) & before.any(1)
    return np.asarray((first_back - last_front - 1)[valid])


def _median_mm(gaps: NDArray[np.intp], block: PelvicBlock) -> float | None:
    return float(np.median(gaps)) * block.spacing_zyx_mm[1] if len(gaps) >= LEAST_COLUMNS else None


def _lowest(mask: Mask) -> int:
    return int(np.flatnonzero(mask.any((1, 2)))[0])


def _highest(mask: Mask) -> int:
    return int(np.flatnonzero(mask.any((1, 2)))[-1])


def _cc(mask: Mask, block: PelvicBlock) -> float:
    return float(mask.sum() * np.prod(block.spacing_zyx_mm)) / 1000


def _verdict(good: bool) -> Verdict:  # noqa: FBT001 - a comparison's outcome
    return "pass" if good else "warn"
