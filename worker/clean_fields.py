"""From raw fields to one structure: islands removed, bounds kept around the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Fields:
    """Lower, mean and upper as fields on the same voxels, (z, y, x); each is contoured at the same level."""

    lower: FloatArray
    mean: FloatArray
    upper: FloatArray

    @staticmethod
    def cleaned(lower: FloatArray, mean: FloatArray, upper: FloatArray, level: float) -> Fields:
        """Keep the largest component of the mean, and of the upper bound what is connected to it.

        Voxel by voxel lower <= mean <= upper holds afterwards as it did before, so the contours stay nested.
        """
        body = _largest_component(mean >= level)
        upper = np.where(_touching(upper >= level, body) | (upper < level), upper, 0)
        mean = np.where(body | (mean < level), mean, 0)
        mean = np.minimum(mean, upper)
        return Fields(np.minimum(lower, mean), mean, upper)


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def _touching(mask: NDArray[np.bool_], body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The components of `mask` that overlap `body`."""
    labels, _ = ndimage.label(mask)
    wanted = np.unique(labels[body & mask])
    return np.isin(labels, wanted[wanted > 0])
