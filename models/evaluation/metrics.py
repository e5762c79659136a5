"""Overlap and surface distance of two masks, with their definitions stated (tools differ by up to half)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> float:
    """DSC = 2 |A ∩ B| / (|A| + |B|) over voxels; 1 when both are empty."""
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def average_surface_distance_mm(a: Mask, b: Mask, spacing_zyx_mm: tuple[float, float, float]) -> float:
    """Mean symmetric surface distance in mm.

    Surface voxels are those of a mask with a face neighbour outside it; every surface voxel of either mask is
    measured to the nearest surface voxel of the other, and all are averaged. Empty against non-empty is `inf`, empty
    against empty 0.
    """
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else float("inf")
    box = ndimage.find_objects((a | b).astype(np.uint8))[0]
    first, second = _surface(np.pad(a[box], 1)), _surface(np.pad(b[box], 1))
    there = ndimage.distance_transform_edt(~second, sampling=spacing_zyx_mm)[first]
    back = ndimage.distance_transform_edt(~first, sampling=spacing_zyx_mm)[second]
    return float(np.concatenate([there, back]).mean())


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))
