"""What is told of a structure in numbers: volumes and the width of its band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.result import Result, StructureResult
from worker.series import CTSeries
from worker.uncertainty import Band, Widths, band_of, widths_of


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The numbers of one structure.

    Attributes:
        structure: whose they are.
        volume_cc: voxels of the CT's own grid whose mean reaches the level.
        lower_cc: the same within the lower bound.
        upper_cc: the same within the upper bound.
        band: width between the bounds, NaN where there is no lower bound.
        widths: the same point by point, None where there is no lower bound.
    """

    structure: StructureResult
    volume_cc: float
    lower_cc: float
    upper_cc: float
    band: Band
    widths: Widths | None


def figures_of(result: Result) -> Sequence[Figures]:
    """The figures of every structure, in the result's order."""
    return [_figures(s, result.series) for s in result.structures]


def _figures(s: StructureResult, series: CTSeries) -> Figures:
    def cc(field: NDArray[np.float32]) -> float:
        return round(series.grid.volume_mm3(field >= s.level) / 1000, 3)

    widths = widths_of(s, series)
    return Figures(
        structure=s,
        volume_cc=cc(s.mean),
        lower_cc=cc(s.lower),
        upper_cc=cc(s.upper),
        band=band_of(widths, series),
        widths=widths,
    )
