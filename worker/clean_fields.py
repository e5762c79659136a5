"""From raw fields to one structure: islands and specks removed, bounds kept around the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float32]

SPECK_PX = 12  # on a slice; nobody draws less, and a planning system may warn about it
IN_PLANE = np.zeros((3, 3, 3), bool)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)  # by faces, as contours separate


@dataclass(frozen=True)
class Fields:
    """Lower, mean and upper as fields on the same voxels, (z, y, x); each is contoured at the same level."""

    lower: FloatArray
    mean: FloatArray
    upper: FloatArray

    @staticmethod
    def cleaned(lower: FloatArray, mean: FloatArray, upper: FloatArray, level: float) -> Fields:
        """Keep the largest component of the mean, of the upper bound what is connected to it, and no specks.

        Voxel by voxel lower <= mean <= upper holds afterwards as it did before, so the contours stay nested.
        """
        body = _largest_component(mean >= level)
        upper = _where(upper, level, keep=_touching(upper >= level, body))
        upper = _where(upper, level, keep=_without_specks(upper >= level))
        mean = np.minimum(_where(mean, level, keep=body), upper)
        mean = _where(mean, level, keep=_without_specks(mean >= level))
        lower = np.minimum(lower, mean)
        lower = _where(lower, level, keep=_without_specks(lower >= level))
        return Fields(lower, mean, upper)


def _where(field: FloatArray, level: float, *, keep: NDArray[np.bool_]) -> FloatArray:
    """The field, with 0 where it reaches the level outside `keep`."""
    return np.where(keep | (field < level), field, np.float32(0))


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


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the components that have fewer than `SPECK_PX` pixels on their slice."""
    labels, _ = ndimage.label(mask, structure=IN_PLANE)
    large = np.bincount(labels.ravel()) >= SPECK_PX
    large[0] = False
    return np.asarray(large[labels])
