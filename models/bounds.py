"""The bounds of a contour, from the moments of its passes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

Z_95 = 1.96


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
    return np.minimum(lower, mean), np.maximum(upper, mean)
