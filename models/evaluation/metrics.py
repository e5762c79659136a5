"""Agreement of two contours, with every definition stated (in-house tools differ by up to half, SCIENCE 2.5).

All work on masks (z, y, x) on one grid. The surface metrics are MONAI's; overlap and added path length are two lines
of arithmetic and ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

TOLERANCES_MM = (2.0, 3.0)
PERCENTILE = 95.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a contour agrees with a reference; see `agreement` for the definitions."""

    dsc: float
    asd_mm: float
    hd95_mm: float
    surface_dsc_2mm: float
    surface_dsc_3mm: float
    apl_mm: float


def agreement(contour: Mask, reference: Mask, spacing_zyx_mm: Spacing) -> Agreement:
    """All metrics of one structure.

    - DSC: 2 |A ∩ B| / (|A| + |B|) over voxels.
    - ASD, HD95: on surface voxels, those with a face neighbour outside, each measured in 3D to the nearest surface
      voxel of the other mask. ASD is the mean over the surface voxels of both together, HD95 the larger of the two
      95th percentiles (MONAI, `symmetric`, `percentile=95`).
    - Surface DSC: the share of both surfaces' area that lies within the tolerance of the other surface (Nikolov et
      al. 2018), on the surface elements between voxel centres (MONAI, `use_subvoxels`).
    - APL: `added_path_length_mm`.

    An empty contour has DSC and surface DSC 0 and infinite distances; if both are empty they agree.
    """
    first, second = _cropped(contour, reference)
    two, three = (surface_dsc(first, second, spacing_zyx_mm, tolerance_mm=t) for t in TOLERANCES_MM)
    return Agreement(
        dsc=dice(first, second),
        asd_mm=average_surface_distance_mm(first, second, spacing_zyx_mm),
        hd95_mm=hausdorff_95_mm(first, second, spacing_zyx_mm),
        surface_dsc_2mm=two,
        surface_dsc_3mm=three,
        apl_mm=added_path_length_mm(first, second, spacing_zyx_mm),
    )


def dice(a: Mask, b: Mask) -> float:
    """DSC = 2 |A ∩ B| / (|A| + |B|) over voxels; 1 when both are empty."""
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def intersection_over_union(a: Mask, b: Mask) -> float:
    """IoU = |A ∩ B| / |A ∪ B| over voxels; 1 when both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def average_surface_distance_mm(a: Mask, b: Mask, spacing_zyx_mm: Spacing) -> float:
    """Mean symmetric surface distance in mm, as in `agreement`; empty against non-empty is `inf`, both empty 0."""
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else float("inf")
    first, second = (_as_tensor(mask) for mask in _cropped(a, b))
    with _quiet():
        distance = compute_average_surface_distance(
            first, second, include_background=True, symmetric=True, spacing=spacing_zyx_mm
        )
    return float(distance)


def hausdorff_95_mm(a: Mask, b: Mask, spacing_zyx_mm: Spacing) -> float:
    """The larger of the two 95th percentiles of surface distance in mm, as in `agreement`; `inf` as for the mean."""
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else float("inf")
    first, second = (_as_tensor(mask) for mask in _cropped(a, b))
    with _quiet():
        distance = compute_hausdorff_distance(
            first, second, include_background=True, percentile=PERCENTILE, spacing=spacing_zyx_mm
        )
    return float(distance)


def surface_dsc(a: Mask, b: Mask, spacing_zyx_mm: Spacing, *, tolerance_mm: float) -> float:
    """Share of both surfaces' area within the tolerance of the other, as in `agreement`; 1 when both are empty."""
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    first, second = (_as_tensor(mask) for mask in _cropped(a, b))
    with _quiet():
        share = compute_surface_dice(
            first,
            second,
            class_thresholds=[tolerance_mm],
            include_background=True,
            spacing=spacing_zyx_mm,
            use_subvoxels=True,
        )
    return float(share)


def added_path_length_mm(contour: Mask, reference: Mask, spacing_zyx_mm: Spacing) -> float:
    """APL in mm: what one would have to draw to turn the contour into the reference (Vaassen et al. 2020).

    Per slice the pixels of the reference's outline that are not on the contour's outline, times the pixel's size
    (the mean of its two sides), summed over slices. A pixel is on an outline if it lies inside and one of its four
    neighbours in the slice does not. There is no tolerance: one pixel off counts in full.
    """
    missing = _outline(reference) & ~_outline(contour)
    return float(missing.sum()) * (spacing_zyx_mm[1] + spacing_zyx_mm[2]) / 2


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MONAI's warnings of its own coming changes, one for every call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        yield


def _outline(mask: Mask) -> Mask:
    """Pixels of each slice's outline."""
    cross = ndimage.generate_binary_structure(2, 1)[np.newaxis]
    return np.asarray(mask & ~ndimage.binary_erosion(mask, cross))


def _cropped(a: Mask, b: Mask) -> tuple[Mask, Mask]:
    """Both on the box that holds them, with a voxel of margin."""
    found = ndimage.find_objects((a | b).astype(np.uint8))
    if not found:
        return np.zeros((1, 1, 1), bool), np.zeros((1, 1, 1), bool)
    return np.pad(a[found[0]], 1), np.pad(b[found[0]], 1)


def _as_tensor(mask: Mask) -> torch.Tensor:
    """(1, 1, z, y, x) as MONAI takes it."""
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None]
