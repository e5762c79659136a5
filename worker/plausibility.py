"""Could this be a man's pelvis? A last look at the result before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worker.errors import ResultImplausible
from worker.finding import Finding
from worker.result import Result, StructureResult

# Wider than patients: a volume outside is worth a look, not a refusal.
USUAL_CC = {
    "CTV": (20.0, 350.0),
    "Bladder": (25.0, 1200.0),
    "Rectum": (15.0, 350.0),
    "Femur_Head_L": (20.0, 130.0),
    "Femur_Head_R": (20.0, 130.0),
    "PenileBulb": (0.8, 20.0),
}


def check_result(result: Result) -> tuple[Finding, ...]:
    """Unusual volumes as findings.

    Raises:
        ResultImplausible: the left femoral head does not lie to the left of the right one.
    """
    heads = {s.name: s for s in result.structures if s.name.startswith("Femur_Head")}
    if len(heads) == 2 and _middle_x(heads["Femur_Head_L"], result) <= _middle_x(
        heads["Femur_Head_R"], result
    ):
        raise ResultImplausible("The femoral heads were found on the wrong sides.")
    return tuple(_unusual_volumes(result))


def _unusual_volumes(result: Result) -> Iterator[Finding]:
    for s in result.structures:
        cc = float((s.mean >= s.level).sum()) * result.series.grid.voxel_mm3 / 1000
        low, high = USUAL_CC[s.name]
        if not low <= cc <= high:
            text = f"{s.name} has {cc:.1f} cc; {low:g} to {high:g} cc are usual. Check its contours."
            yield Finding(code="unusual-volume", message=text)


def _middle_x(s: StructureResult, result: Result) -> float:
    """Patient x (mm, to the left) of a structure's middle."""
    z, y, x = np.argwhere(s.mean >= s.level).mean(0)
    return float(result.series.grid.to_patient((x, y, z))[0])
