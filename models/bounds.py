"""The bounds of a contour, from the moments of its passes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

Z_95 = 1.96
RAMP_MM = 4.0  # how far from the surface a field made from a distance stays straight


def paper_bounds(mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mode `paper`: p̄ ± 1.96 σ, to be contoured at the same level as p̄ (Balagopal et al. 2021, Uncertainty).

    The interval covers the passes, not the truth: with saturated samples it is a 5.3 % to 94.7 % vote, and it never
    reaches beyond the union of the samples (SCIENCE 2.3). Whoever shows it says "uncalibrated".

    Args:
        mean: p̄, any shape, in [0, 1].
        variance: σ² on the same voxels.

    Returns:
        lower and upper fields in [0, 1]; voxel by voxel lower <= mean <= upper, so the contours are nested.
    """
    half_width = np.float32(Z_95) * np.sqrt(np.maximum(variance, 0), dtype=np.float32)
    lower = np.clip(mean - half_width, 0, 1).astype(np.float32)
    upper = np.clip(mean + half_width, 0, 1).astype(np.float32)
    return nested(lower, mean, upper)


def calibrated_bounds(
    mean_distance: FloatArray, distance_std: FloatArray, kappa: float, s0: float
) -> tuple[FloatArray, FloatArray]:
    """Mode `calibrated`: lower where μ + κ·max(s, s₀) <= 0, upper where μ - κ·max(s, s₀) <= 0 (SCIENCE D6).

    μ and s are the moments of the passes' signed distance. Unlike `paper_bounds` the band can reach beyond what any
    pass has drawn, so κ can be chosen to hold the reference surface (`models/calibration/conformal.py:choose_kappa`).

    Args:
        mean_distance: μ in mm, negative inside, any shape.
        distance_std: s in mm on the same voxels.
        kappa: half-width of the band in units of max(s, s₀).
        s0: smallest deviation in mm: where all passes agree the band keeps a width.

    Returns:
        signed distances in mm to the lower and to the upper bound, negative inside; upper <= μ <= lower. `as_field`
        makes them fields.
    """
    half_width = np.float32(kappa) * np.maximum(distance_std, np.float32(s0))
    return mean_distance + half_width, mean_distance - half_width


def as_field(distance_mm: FloatArray, level: float) -> FloatArray:
    """Signed distance as a field in [0, 1] that crosses `level` at the surface, straight within 4 mm of it."""
    return np.asarray(np.clip(level - distance_mm / (2 * RAMP_MM), 0, 1), dtype=np.float32)


def nested(lower: FloatArray, mean: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fields of the bounds, kept voxel by voxel on their side of the mean's: so contours are nested at any level."""
    return np.minimum(lower, mean), np.maximum(upper, mean)
