# mypy: disable-error-code="no-untyped-call"
# SimpleITK annotates its functions only in part.
"""Where voxels lie in the patient, and the one place where x-y-z turns into z-y-x."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A regular grid of voxel centres in the DICOM patient system (LPS, mm).

    Attributes:
        size_xyz: voxels along columns (x), rows (y) and slices (z).
        spacing_mm: distance between voxel centres along the same three axes.
        origin_mm: position of the centre of voxel (0, 0, 0).
        direction: 3 x 3 matrix, row-major; its columns are the unit vectors of the x, y and z axis
            (PS3.3 C.7.6.2.1.1, and `SimpleITK.Image.GetDirection`).
        frame_of_reference_uid: the frame the millimetres belong to.
    """

    size_xyz: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    frame_of_reference_uid: str

    def __post_init__(self) -> None:
        if min(self.size_xyz) < 1 or min(self.spacing_mm) <= 0:
            raise ValueError(f"not a grid: size {self.size_xyz}, spacing {self.spacing_mm} mm")
        if len(self.direction) != 9 or not np.allclose(self._axes() @ self._axes().T, np.eye(3), atol=1e-3):
            raise ValueError(f"not an orthonormal direction: {self.direction}")

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of an array on this grid."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def to_patient(self, index_xyz: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (..., 3) in x-y-z order, fractions allowed, to LPS mm (..., 3)."""
        scaled = np.asarray(index_xyz, dtype=np.float64) * np.asarray(self.spacing_mm)
        return np.asarray(scaled @ self._axes().T + np.asarray(self.origin_mm))

    def to_index(self, point_mm: ArrayLike) -> NDArray[np.float64]:
        """LPS mm (..., 3) to fractional voxel indices (..., 3) in x-y-z order."""
        offset = np.asarray(point_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        return np.asarray((offset @ np.linalg.inv(self._axes()).T) / np.asarray(self.spacing_mm))

    def image(self, array_zyx: NDArray[np.generic]) -> sitk.Image:
        """A SimpleITK image of an array (z, y, x) on this grid; booleans become uint8."""
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
        Array of `target.shape_zyx` and the input's type.
    """
    if source.frame_of_reference_uid != target.frame_of_reference_uid:
        raise ValueError("the two grids belong to different frames of reference")
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.size_xyz])
    resampler.SetOutputSpacing(target.spacing_mm)
    resampler.SetOutputOrigin(target.origin_mm)
    resampler.SetOutputDirection(target.direction)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float(outside))
    return Grid.array(resampler.Execute(source.image(array_zyx))).astype(array_zyx.dtype, copy=False)
