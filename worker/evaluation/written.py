"""The ROIs of a written RTSTRUCT as masks, held only where they are: thirty on one CT would not fit otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from worker.raster import Raster
from worker.round_trip import rasterise_rois
from worker.series import CTSeries

Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]
OFF_PLANE_MM = 0.5


@dataclass(frozen=True)
class WrittenContours:
    """ROIs by name, as the reader that shares nothing with the writer sees them on the CT's slices."""

    rasters: dict[str, Raster]

    @staticmethod
    def read(path: Path, series: CTSeries) -> WrittenContours:
        """Read an RTSTRUCT of this series; one that is not there has no ROIs. A clinic's writer may round."""
        if not path.exists():
            return WrittenContours({})
        return WrittenContours(dict(rasterise_rois(dcmread(path), series, off_plane_mm=OFF_PLANE_MM)))

    def has(self, name: str | None) -> bool:
        """Whether there is such an ROI and it holds a voxel."""
        return name is not None and name in self.rasters and bool(self.rasters[name].inside.any())

    def on(self, box: Box, name: str | None) -> Mask:
        """One ROI as a mask on a box of the CT (z, y, x); empty if there is none of that name."""
        mask = np.zeros([s.stop - s.start for s in box], dtype=bool)
        if name is None or not self.has(name):
            return mask
        raster = self.rasters[name]
        target, source = [], []
        for wanted, there in zip(box, raster.region, strict=True):
            low, high = max(wanted.start, there.start), min(wanted.stop, there.stop)
            target.append(slice(low - wanted.start, max(low, high) - wanted.start))
            source.append(slice(low - there.start, max(low, high) - there.start))
        mask[tuple(target)] = raster.inside[tuple(source)]
        return mask


def box_around(contours: Sequence[tuple[WrittenContours, str | None]]) -> Box:
    """The smallest box of the CT that holds all these ROIs; an empty one if none is there."""
    found = [each.rasters[name] for each, name in contours if name is not None and each.has(name)]
    if not found:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    low = np.min([raster.corner_zyx for raster in found], axis=0)
    high = np.max([np.add(raster.corner_zyx, raster.inside.shape) for raster in found], axis=0)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
