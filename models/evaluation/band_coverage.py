"""Does the band hold the true surface? Share of the surface outside it, and the band's width, by thirds of the height.

The surface is taken as the faces between a voxel inside and a neighbour outside, in all three directions, so that the
end slices count by their area. A face lies within the band if its inner voxel is within the upper bound and its outer
voxel not within the lower one. Where lower, mean and upper are the truth itself, nothing lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from models.evaluation.metrics import Mask, Spacing

THIRDS = ("inferior", "middle", "superior")
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """The faces of a mask's surface, n of them.

    Attributes:
        inner_zyx: voxel inside, (n, 3) int.
        outer_zyx: its neighbour outside, (n, 3) int.
        area_mm2: (n,).
        centre_mm: middle of the face in mm from the middle of voxel (0, 0, 0), (n, 3) z, y, x.
    """

    inner_zyx: NDArray[np.intp]
    outer_zyx: NDArray[np.intp]
    area_mm2: FloatArray
    centre_mm: FloatArray


@dataclass(frozen=True, kw_only=True)
class BandCoverage:
    """How a band fits a true surface. Shares are of area, 0 to 1; thirds in the order of `THIRDS`.

    Attributes:
        outside: share of the true surface outside the band.
        outside_thirds: the same within each third of the true structure's height.
        beyond_upper: share of the true surface outside the upper bound.
        within_lower: share of the true surface inside the lower bound.
        width_mm: mean distance from the upper surface to the nearest point of the lower one, NaN without a lower one.
        width_thirds_mm: the same by height; what the upper bound has beyond the true structure's ends belongs to the
            end thirds.
    """

    outside: float
    outside_thirds: tuple[float, float, float]
    beyond_upper: float
    within_lower: float
    width_mm: float
    width_thirds_mm: tuple[float, float, float]


def faces(mask: Mask, spacing_zyx_mm: Spacing) -> Faces:
    """All faces between a voxel of the mask and one outside; the image's edge counts as outside."""
    padded = np.pad(mask, 1)
    spacing = np.asarray(spacing_zyx_mm)
    inner, steps, areas = [], [], []
    for axis in range(3):
        for direction in (-1, 1):
            step = np.zeros(3, dtype=np.intp)
            step[axis] = direction
            beyond = np.roll(padded, -direction, axis=axis)
            found = np.argwhere(padded & ~beyond) - 1
            inner.append(found)
            steps.append(np.broadcast_to(step, found.shape))
            areas.append(np.full(len(found), spacing.prod() / spacing[axis]))
    inside, step = np.concatenate(inner), np.concatenate(steps)
    return Faces(
        inner_zyx=inside,
        outer_zyx=inside + step,
        area_mm2=np.concatenate(areas),
        centre_mm=(inside + step / 2) * spacing,
    )


def band_coverage(
    lower: Mask, upper: Mask, truth: Mask, spacing_zyx_mm: Spacing, *, head_is_up: bool = True
) -> BandCoverage:
    """Measure a band against a true structure.

    Args:
        lower: voxels of the lower bound, (z, y, x); may be empty.
        upper: voxels of the upper bound, as large or larger.
        truth: voxels of the reference, not empty.
        spacing_zyx_mm: distance of voxel centres.
        head_is_up: whether z rises towards the patient's head.
    """
    lower, upper, truth = _cropped(lower, upper, truth)
    surface = faces(truth, spacing_zyx_mm)
    beyond = ~_at(upper, surface.inner_zyx)
    within = _at(lower, surface.outer_zyx)
    low, high = surface.centre_mm[:, 0].min(), surface.centre_mm[:, 0].max()
    third = _third(surface.centre_mm[:, 0], low, high, head_is_up=head_is_up)
    place, width = _widths(lower, upper, spacing_zyx_mm)
    third_of_width = _third(place, low, high, head_is_up=head_is_up)
    shares = [
        _share(beyond | within, surface.area_mm2, chosen=third == number) for number in range(len(THIRDS))
    ]
    widths = [_mean(width[third_of_width == number]) for number in range(len(THIRDS))]
    everywhere = np.ones(len(third), dtype=bool)
    return BandCoverage(
        outside=_share(beyond | within, surface.area_mm2, chosen=everywhere),
        outside_thirds=(shares[0], shares[1], shares[2]),
        beyond_upper=_share(beyond, surface.area_mm2, chosen=everywhere),
        within_lower=_share(within, surface.area_mm2, chosen=everywhere),
        width_mm=_mean(width),
        width_thirds_mm=(widths[0], widths[1], widths[2]),
    )


def surface_outside(lower: Mask, upper: Mask, truth: Mask, spacing_zyx_mm: Spacing) -> float:
    """Share of a true surface outside a band, alone; see `BandCoverage.outside`."""
    lower, upper, truth = _cropped(lower, upper, truth)
    surface = faces(truth, spacing_zyx_mm)
    outside = ~_at(upper, surface.inner_zyx) | _at(lower, surface.outer_zyx)
    return _share(outside, surface.area_mm2, chosen=np.ones(len(outside), dtype=bool))


def _widths(lower: Mask, upper: Mask, spacing_zyx_mm: Spacing) -> tuple[FloatArray, FloatArray]:
    """Height (mm) and distance to the lower surface (mm) of every face of the upper surface."""
    outer, inner = faces(upper, spacing_zyx_mm), faces(lower, spacing_zyx_mm)
    heights = outer.centre_mm[:, 0]
    if len(inner.area_mm2) == 0 or len(outer.area_mm2) == 0:
        return heights, np.full(len(heights), np.nan)
    distance, _ = cKDTree(inner.centre_mm).query(outer.centre_mm)
    return heights, np.asarray(distance)


def _third(height_mm: FloatArray, low: float, high: float, *, head_is_up: bool) -> NDArray[np.intp]:
    """0 inferior, 1 middle, 2 superior."""
    share = (height_mm - low) / max(high - low, 1e-9)
    number = np.clip(np.floor(share * 3), 0, 2).astype(np.intp)
    return number if head_is_up else 2 - number


def _at(mask: Mask, index_zyx: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The mask at voxel indices (n, 3), which the margin of `_cropped` keeps inside."""
    z, y, x = index_zyx.T
    return np.asarray(mask[z, y, x])


def _share(chosen_faces: NDArray[np.bool_], area: FloatArray, *, chosen: NDArray[np.bool_]) -> float:
    total = float(area[chosen].sum())
    return float(area[chosen & chosen_faces].sum()) / total if total else float("nan")


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _cropped(lower: Mask, upper: Mask, truth: Mask) -> tuple[Mask, Mask, Mask]:
    if not truth.any():
        raise ValueError("the true structure is empty")
    box = ndimage.find_objects((lower | upper | truth).astype(np.uint8))[0]
    return np.pad(lower[box], 1), np.pad(upper[box], 1), np.pad(truth[box], 1)
