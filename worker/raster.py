"""Closed polygons to pixels: a pixel belongs to a contour if its centre lies inside.

By the even-odd rule along rows; the two walls of a keyhole's channel cancel exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Raster:
    """What one ROI covers: a block of a volume.

    Attributes:
        corner_zyx: voxel at which the block begins.
        inside: (z, y, x) bool.
    """

    corner_zyx: tuple[int, int, int]
    inside: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice, slice]:
        """The block as an index into the volume."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.corner_zyx, self.inside.shape, strict=True))
        return z, y, x

    def within(self, shape_zyx: tuple[int, ...]) -> NDArray[np.bool_]:
        """The whole volume (z, y, x)."""
        mask = np.zeros(shape_zyx, dtype=bool)
        mask[self.region] = self.inside
        return mask


def fill(points: NDArray[np.float64], index: int, shape_zyx: tuple[int, ...]) -> Raster:
    """Pixels whose centre lies in a closed polygon (n, 2) column, row on slice `index`.

    Edges are taken from their upper to their lower end, so that an edge and its reverse cross a row at the
    same number, bit for bit.
    """
    following = np.roll(points, -1, axis=0)
    falls = points[:, 1] > following[:, 1]
    begin = np.where(falls[:, None], following, points)
    end = np.where(falls[:, None], points, following)
    first = np.clip(np.ceil(begin[:, 1]), 0, shape_zyx[1]).astype(np.intp)
    stop = np.clip(np.ceil(end[:, 1]), 0, shape_zyx[1]).astype(np.intp)
    left = int(np.clip(np.floor(points[:, 0].min()), 0, shape_zyx[2] - 1))
    right = int(np.clip(np.ceil(points[:, 0].max()), left, shape_zyx[2] - 1))
    counts = np.maximum(stop - first, 0)
    if not counts.any():
        return Raster(corner_zyx=(index, 0, left), inside=np.zeros((1, 0, 0), dtype=bool))
    top, bottom = int(first[counts > 0].min()), int(stop[counts > 0].max())
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (end[edge, 0] - begin[edge, 0]) / (end[edge, 1] - begin[edge, 1])
    column = np.ceil(begin[edge, 0] + (row - begin[edge, 1]) * slope)
    width = right - left + 2
    place = (row - top) * width + np.clip(column - left, 0, width - 1).astype(np.intp)
    crossings = np.bincount(place, minlength=(bottom - top) * width).reshape(bottom - top, width)
    inside = (np.cumsum(crossings[:, :-1], axis=1) & 1).astype(bool)
    return Raster(corner_zyx=(index, top, left), inside=inside[np.newaxis])


def combine(pieces: Sequence[tuple[bool, Raster]]) -> Raster:
    """One block around all contours of an ROI; those marked exclusive flip what is there, others add."""
    rasters = [raster for _, raster in pieces if raster.inside.size]
    if not rasters:
        return Raster(corner_zyx=(0, 0, 0), inside=np.zeros((0, 0, 0), dtype=bool))
    low = np.min([r.corner_zyx for r in rasters], axis=0)
    high = np.max([np.add(r.corner_zyx, r.inside.shape) for r in rasters], axis=0)
    block = np.zeros(tuple(high - low), dtype=bool)
    for exclusive, raster in pieces:
        region = tuple(slice(s.start - a, s.stop - a) for s, a in zip(raster.region, low, strict=True))
        if raster.inside.size and exclusive:
            block[region] ^= raster.inside
        elif raster.inside.size:
            block[region] |= raster.inside
    return Raster(corner_zyx=(int(low[0]), int(low[1]), int(low[2])), inside=block)


def share_pixels(rasters: Sequence[Raster]) -> bool:
    """Whether any two of them overlap."""
    if len(rasters) < 2:
        return False
    alone = sum(np.count_nonzero(raster.inside) for raster in rasters)
    return bool(np.count_nonzero(combine([(False, raster) for raster in rasters]).inside) < alone)
