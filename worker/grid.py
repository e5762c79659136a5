# mypy: disable-error-code="no-untyped-call"
# SimpleITK annotates its functions only in part.
"""Where voxels lie in the patient, and the one place where x-y-z turns into z-y-x."""

from dataclasses import dataclass, replace
from math import ceil
from typing import TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid of voxel centres in the DICOM patient system (LPS, mm), regular in x and y.

    Along z it is regular too, unless `slice_offsets_mm` says where each slice lies: some protocols change the
    distance of the slices within a series. Everything here honours the offsets; `spacing_mm[2]` is only their mean
    distance then, and `image` refuses, for an image of SimpleITK cannot have them.

    Attributes:
        size_xyz: voxels along columns (x), rows (y) and slices (z).
        spacing_mm: distance between voxel centres along the same three axes.
        origin_mm: position of the centre of voxel (0, 0, 0).
        direction: 3 x 3 matrix, row-major; its columns are the unit vectors of the x, y and z axis
            (PS3.3 C.7.6.2.1.1, and `SimpleITK.Image.GetDirection`).
        frame_of_reference_uid: the frame the millimetres belong to.
        slice_offsets_mm: None where slices are evenly spaced; else the distance of each slice from the first along
            the z axis, rising from 0.
    """

    size_xyz: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    frame_of_reference_uid: str
    slice_offsets_mm: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if min(self.size_xyz) < 1 or min(self.spacing_mm) <= 0:
            raise ValueError(f"not a grid: size {self.size_xyz}, spacing {self.spacing_mm} mm")
        if len(self.direction) != 9 or not np.allclose(self._axes() @ self._axes().T, np.eye(3), atol=1e-3):
            raise ValueError(f"not an orthonormal direction: {self.direction}")
        offsets = self.slice_offsets_mm
        if offsets is not None and (
            len(offsets) != self.size_xyz[2]
            or len(offsets) < 2
            or offsets[0] != 0
            or min(np.diff(offsets)) <= 0
        ):
            raise ValueError(f"not the rising offsets of {self.size_xyz[2]} slices: {offsets}")

    @property
    def is_uneven(self) -> bool:
        """Whether the distance between slices varies."""
        return self.slice_offsets_mm is not None

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of an array on this grid."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel; the mean one where slices are unevenly spaced (see `volume_mm3`)."""
        return float(np.prod(self.spacing_mm))

    @property
    def slice_extents_mm(self) -> NDArray[np.float64]:
        """Height (z,) that each slice stands for: half the way to its neighbours, the ends as on their inner side."""
        if self.slice_offsets_mm is None:
            return np.full(self.size_xyz[2], self.spacing_mm[2])
        return extents_of(np.asarray(self.slice_offsets_mm))

    def volume_mm3(self, mask_zyx: NDArray[np.bool_]) -> float:
        """Volume of the voxels of a mask (z, y, x)."""
        if self.slice_offsets_mm is None:
            return float(np.count_nonzero(mask_zyx)) * self.voxel_mm3
        areas = np.count_nonzero(mask_zyx, axis=(1, 2)) * (self.spacing_mm[0] * self.spacing_mm[1])
        return float(areas @ self.slice_extents_mm)

    def to_patient(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (..., 3) in x-y-z order, fractions allowed, to LPS mm (..., 3)."""
        index = np.asarray(index_xyz, dtype=np.float64)
        scaled = index * np.asarray(self.spacing_mm)
        if self.slice_offsets_mm is not None:
            scaled[..., 2] = _bent(
                index[..., 2], np.arange(self.size_xyz[2]), np.asarray(self.slice_offsets_mm)
            )
        return np.asarray(scaled @ self._axes().T + np.asarray(self.origin_mm))

    def to_index(self, point_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm (..., 3) to fractional voxel indices (..., 3) in x-y-z order."""
        offset = np.asarray(point_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        local = offset @ np.linalg.inv(self._axes()).T
        index = np.asarray(local / np.asarray(self.spacing_mm))
        if self.slice_offsets_mm is not None:
            index[..., 2] = _bent(
                local[..., 2], np.asarray(self.slice_offsets_mm), np.arange(self.size_xyz[2])
            )
        return index

    def evened(self) -> "Grid":
        """The evenly spaced grid over the same height, as fine as the slices here are where they lie closest.

        Slices that nearly coincide don't count: it is never finer than a quarter of the usual distance.
        """
        if self.slice_offsets_mm is None:
            return self
        height = self.slice_offsets_mm[-1]
        apart = np.diff(self.slice_offsets_mm)
        steps = ceil(height / max(float(apart.min()), float(np.median(apart)) / 4) - 1e-6)
        return replace(
            self,
            size_xyz=(*self.size_xyz[:2], steps + 1),
            spacing_mm=(*self.spacing_mm[:2], height / steps),
            slice_offsets_mm=None,
        )

    def slab(self, first: int, stop: int) -> "Grid":
        """The grid of some of the slices."""
        origin = self.to_patient((0, 0, first))
        offsets = self.slice_offsets_mm
        part = (
            None
            if offsets is None or stop - first < 2
            else tuple(o - offsets[first] for o in offsets[first:stop])
        )
        return replace(
            self,
            size_xyz=(*self.size_xyz[:2], stop - first),
            origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
            slice_offsets_mm=part,
        )

    def image(self, array_zyx: NDArray[np.generic]) -> sitk.Image:
        """A SimpleITK image of an array (z, y, x) on this grid; booleans become uint8. Not of an uneven grid."""
        if self.is_uneven:
            raise ValueError("unevenly spaced slices make no image; resample them onto `evened()` first")
        if array_zyx.shape != self.shape_zyx:
            raise ValueError(f"array of shape {array_zyx.shape} on a grid of shape {self.shape_zyx}")
        plain = array_zyx.view(np.uint8) if array_zyx.dtype == np.bool_ else array_zyx
        image = sitk.GetImageFromArray(plain)
        self._place(image)
        return image

    @staticmethod
    def array(image: sitk.Image) -> NDArray[np.generic]:
        """The voxels of a SimpleITK image as an array (z, y, x)."""
        array: NDArray[np.generic] = sitk.GetArrayFromImage(image)
        return array

    def _place(self, image: sitk.Image) -> None:
        image.SetSpacing(self.spacing_mm)
        image.SetOrigin(self.origin_mm)
        image.SetDirection(self.direction)

    def _axes(self) -> NDArray[np.float64]:
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)


def extents_of(heights_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height (n,) that each of two or more rising heights stands for, the ends as on their inner side, mm."""
    steps = np.diff(heights_mm)
    return np.asarray((np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])) / 2)


def resample(
    array_zyx: NDArray[Voxel], source: Grid, target: Grid, *, outside: float, nearest: bool = False
) -> NDArray[Voxel]:
    """Carry an array (z, y, x) from one grid to another of the same frame of reference.

    Args:
        array_zyx: voxels on `source`, any numeric type or bool.
        source: grid of the array.
        target: grid wanted.
        outside: value where `source` has no voxels.
        nearest: nearest neighbour (labels) instead of linear interpolation.

    Returns:
        Array of `target.shape_zyx` and the input's type. Unevenly spaced slices are interpolated, or interpolated
        at, where they really lie.
    """
    if source.frame_of_reference_uid != target.frame_of_reference_uid:
        raise ValueError("the two grids belong to different frames of reference")
    if source.is_uneven:
        array_zyx, source = _even(array_zyx, source, nearest=nearest), source.evened()
    if target.is_uneven:
        slabs = [target.slab(z, z + 1) for z in range(target.size_xyz[2])]
        slices = [resample(array_zyx, source, slab, outside=outside, nearest=nearest) for slab in slabs]
        whole: NDArray[Voxel] = np.concatenate(slices)
        return whole
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.size_xyz])
    resampler.SetOutputSpacing(target.spacing_mm)
    resampler.SetOutputOrigin(target.origin_mm)
    resampler.SetOutputDirection(target.direction)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(outside))
    return Grid.array(resampler.Execute(source.image(array_zyx))).astype(array_zyx.dtype, copy=False)


def _even(array_zyx: NDArray[Voxel], source: Grid, *, nearest: bool) -> NDArray[Voxel]:
    """An array (z, y, x) of an uneven grid on its `evened()` grid, linear along z or from the nearest slice."""
    even = source.evened()
    offsets = np.asarray(source.slice_offsets_mm)
    heights = np.arange(even.size_xyz[2]) * even.spacing_mm[2]
    index = np.interp(heights, offsets, np.arange(len(offsets)))
    if nearest or array_zyx.dtype == np.bool_:
        return np.asarray(array_zyx[np.rint(index).astype(np.intp)])
    evened = np.empty(even.shape_zyx, dtype=array_zyx.dtype)
    for target, at in zip(evened, index, strict=True):
        below = min(int(at), len(offsets) - 2)
        share = np.float32(at - below)
        blend = array_zyx[below] * (1 - share) + array_zyx[below + 1] * share
        target[...] = np.rint(blend) if np.issubdtype(array_zyx.dtype, np.integer) else blend
    return evened


def _bent(
    values: NDArray[np.float64], known: NDArray[np.number], told: NDArray[np.number]
) -> NDArray[np.float64]:
    """Piecewise linear from `known` (rising) to `told`, going on beyond the ends as just inside them."""
    low = told[0] + (values - known[0]) * ((told[1] - told[0]) / (known[1] - known[0]))
    high = told[-1] + (values - known[-1]) * ((told[-1] - told[-2]) / (known[-1] - known[-2]))
    inside = np.interp(values, known.astype(np.float64), told.astype(np.float64))
    return np.where(values < known[0], low, np.where(values > known[-1], high, inside))
