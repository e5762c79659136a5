"""What is told of a structure in numbers: volumes and the width of its band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.result import Result, StructureResult
from worker.uncertainty import Band, band_of


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The numbers of one structure.

    Attributes:
        structure: whose they are.
        volume_cc: voxels of the CT's own grid whose mean reaches the level.
        lower_cc: the same within the lower bound.
        upper_cc: the same within the upper bound.
        band: width between the bounds, NaN where there is no lower bound.
    """

    structure: StructureResult
    volume_cc: float
    lower_cc: float
    upper_cc: float
    band: Band


def figures_of(result: Result) -> Sequence[Figures]:
    """The figures of every structure, in the result's order."""

    def cc(field: NDArray[np.float32], level: float) -> float:
        return round(result.series.grid.volume_mm3(field >= level) / 1000, 3)

    return [
        Figures(
            structure=s,
            volume_cc=cc(s.mean, s.level),
            lower_cc=cc(s.lower, s.level),
            upper_cc=cc(s.upper, s.level),
            band=band_of(s, result.series),
        )
        for s in result.structures
    ]
