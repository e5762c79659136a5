"""Arrays as people look at them: whatever way the patient lay, head up, back down, the patient's left on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from worker.grid import Grid

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Upright:
    """How an array (z, y, x) of a grid is turned so that its indices rise to the head, the back and the left.

    Attributes:
        axes: which array axis becomes the first, second and third.
        flipped: whether each of these runs the other way.
        spacing_mm: along the turned axes, mm.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of_grid(cls, grid: Grid) -> Upright:
        """By the grid's direction cosines in LPS (PS3.3 C.7.6.2.1.1); a turned grid goes the nearest way."""
        cosines = np.asarray(grid.direction).reshape(3, 3)  # columns: the index axes x, y, z
        rows = np.array([2, 1, 0])  # H, P, L in LPS
        _, nearest = linear_sum_assignment(-np.abs(cosines[rows]))
        h, p, le = (int(index) for index in nearest)
        signs = [bool(cosines[row, index] < 0) for row, index in zip(rows, nearest, strict=True)]
        spacing = grid.spacing_mm
        return cls(
            axes=(2 - h, 2 - p, 2 - le),
            flipped=(signs[0], signs[1], signs[2]),
            spacing_mm=(spacing[h], spacing[p], spacing[le]),
        )

    def of(self, field_zyx: NDArray[T]) -> NDArray[T]:
        """A view (to the head, to the back, to the left) of an array (z, y, x) of the grid."""
        turned = field_zyx.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
