"""What each slice of a CT shows of a body: its width, bones, fat, air. The guard decides by these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.grid import Grid

STEP_MM: Final = 4.0
BODY_HU: Final = -300
LUNG_HU: Final = -500
FAT_HU: Final = (-200, -30)
BONE_HU: Final = 180
MIDLINE_MM: Final = 40.0
EDGE_MM: Final = 50.0
FAT_BIN_HU: Final = 5


@dataclass(frozen=True, kw_only=True)
class BodyMeasures:
    """One value per slice; all arrays (z,).

    Attributes:
        width_mm: longer side of the body's cross-section.
        side_bone_mm2: bone more than `MIDLINE_MM` from the body's middle, on the side that has less of it.
        midline_bone_mm2: bone within `MIDLINE_MM` of it.
        midline_bone_back_mm: how far the middle of that bone lies behind the body's middle; 0 where there is none.
        lung: share of the body's cross-section that is air inside it.
        fat: share that is fat.
        fat_hu: the commonest CT number of fat; NaN where there is hardly any.
        cut_off: whether the body reaches the edge of the image.
    """

    width_mm: NDArray[np.float64]
    side_bone_mm2: NDArray[np.float64]
    midline_bone_mm2: NDArray[np.float64]
    midline_bone_back_mm: NDArray[np.float64]
    lung: NDArray[np.float64]
    fat: NDArray[np.float64]
    fat_hu: NDArray[np.float64]
    cut_off: NDArray[np.bool_]


@dataclass(frozen=True)
class _Axes:
    """A coarse slice's axes in the patient: pixel spacing (rows, columns) in mm, and which of them is which."""

    spacing_mm: tuple[float, float]
    lateral: int
    backwards: float  # +1 where the other axis grows towards the patient's back, else -1


def measure_body(hu: NDArray[np.float32], stride: tuple[int, int], grid: Grid) -> BodyMeasures:
    """Measure every slice.

    Args:
        hu: CT numbers (z, y, x), every `stride`-th row and column of the CT.
        stride: of the rows, of the columns.
        grid: of the whole CT.
    """
    dx, dy, _ = grid.spacing_mm
    spacing = (dy * stride[0], dx * stride[1])
    lateral_is_columns = abs(grid.direction[0]) >= abs(grid.direction[1])
    along_y = grid.direction[4] if lateral_is_columns else grid.direction[3]  # of the axis from front to back
    axes = _Axes(spacing, lateral=int(lateral_is_columns), backwards=float(np.sign(along_y)) or 1.0)
    columns = np.array([_measure(slice_hu, axes) for slice_hu in hu], dtype=np.float64).T
    width, side, midline, back, lung, fat, fat_hu, cut_off = columns
    return BodyMeasures(
        width_mm=width,
        side_bone_mm2=side,
        midline_bone_mm2=midline,
        midline_bone_back_mm=back,
        lung=lung,
        fat=fat,
        fat_hu=fat_hu,
        cut_off=cut_off.astype(bool),
    )


def _measure(hu: NDArray[np.float32], axes: _Axes) -> tuple[float, ...]:
    """The numbers of `BodyMeasures` for one slice (y, x)."""
    body = _body(hu)
    if not body.any():
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, np.nan, 0.0
    places = np.argwhere(body)
    extent = (np.ptp(places, axis=0) + 1) * np.asarray(axes.spacing_mm)
    middle = (places.min(0) + places.max(0)) / 2
    away = (np.argwhere(body & (hu > BONE_HU)) - middle) * axes.spacing_mm  # of bone, (n, 2)
    sideways, back = away[:, axes.lateral], away[:, 1 - axes.lateral] * axes.backwards
    pixel_mm2 = axes.spacing_mm[0] * axes.spacing_mm[1]
    sides = [np.count_nonzero(sideways < -MIDLINE_MM), np.count_nonzero(sideways > MIDLINE_MM)]
    midline = np.abs(sideways) <= MIDLINE_MM
    inside = hu[body]
    fat = inside[(inside > FAT_HU[0]) & (inside < FAT_HU[1])]
    edge = np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]])
    return (
        float(extent.max()),
        min(sides) * pixel_mm2,
        float(np.count_nonzero(midline)) * pixel_mm2,
        float(back[midline].mean()) if midline.any() else 0.0,
        float(np.mean(inside < LUNG_HU)),
        len(fat) / len(inside),
        _mode(fat),
        float(np.count_nonzero(edge) * STEP_MM > EDGE_MM),
    )


def _mode(fat: NDArray[np.float32]) -> float:
    """The commonest CT number, to `FAT_BIN_HU`, of a distribution smoothed against noise."""
    if len(fat) < 50:
        return float("nan")
    counts, edges = np.histogram(fat, bins=np.arange(FAT_HU[0], FAT_HU[1] + FAT_BIN_HU, FAT_BIN_HU))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 2, mode="constant")
    return float(edges[smooth.argmax()] + FAT_BIN_HU / 2)


def _body(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest piece of tissue on a slice, holes filled, thin things such as the couch's top removed."""
    tissue = ndimage.binary_opening(hu > BODY_HU, structure=np.ones((3, 3)))
    labels, count = ndimage.label(tissue)
    if not count:
        return np.zeros(hu.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()))
