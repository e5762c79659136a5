"""How a scanner samples: blur in the slice, averages over the slice's thickness, ends at its field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate1d

from models.phantom.lattice import FloatArray

FWHM_PER_SIGMA = 2.3548
PADDING_HU = -1024.0


def blur_in_plane(hu: FloatArray, spacing_yx_mm: tuple[float, float], fwhm_mm: float) -> FloatArray:
    """Convolve with a Gaussian of this full width at half maximum, and with the voxel's own face, (z, y, x).

    A map's voxel is one sample of what is there; the face stands for the average over it.
    """
    for axis, step in zip((1, 2), spacing_yx_mm, strict=True):
        sigma = np.hypot(fwhm_mm / FWHM_PER_SIGMA, step / np.sqrt(12)) / step
        reach = max(1, int(np.ceil(3 * sigma)))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        hu = correlate1d(hu, kernel / kernel.sum(), axis=axis, mode="nearest")
    return hu


def average_slices(hu: FloatArray, spacing_z_mm: float, slice_mm: float) -> FloatArray:
    """The mean over a slice `slice_mm` thick about each slice's middle, (z, y, x); the map's own if it is coarser."""
    if slice_mm <= spacing_z_mm or len(hu) == 1:
        return hu
    reach = int(np.ceil(slice_mm / spacing_z_mm / 2 - 0.5))
    edges = (np.arange(-reach, reach + 2) - 0.5) * spacing_z_mm
    kernel = np.diff(np.clip(edges, -slice_mm / 2, slice_mm / 2)) / slice_mm
    return np.asarray(correlate1d(hu, kernel, axis=0, mode="nearest"), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class FieldOfView:
    """A circle that the scan ends at, about the map's middle."""

    radius_mm: float
    offset_yx_mm: tuple[float, float]
    rim_hu: float  # how much too bright tissue is where the circle cuts it
    rim_mm: float  # over what depth that falls to a third

    @staticmethod
    def draw(rng: np.random.Generator) -> FieldOfView:
        """Draw a circle of 340 to 520 mm."""
        return FieldOfView(
            radius_mm=rng.uniform(170, 260),
            offset_yx_mm=(rng.normal(0, 10), rng.normal(0, 10)),
            rim_hu=rng.uniform(0, 250),
            rim_mm=rng.uniform(6, 20),
        )

    def cut(self, hu: FloatArray, spacing_yx_mm: tuple[float, float]) -> None:
        """Pad outside the circle with -1024 and brighten tissue at its rim, in place, (z, y, x)."""
        y, x = (
            (np.arange(n) - (n - 1) / 2) * step - offset
            for n, step, offset in zip(hu.shape[1:], spacing_yx_mm, self.offset_yx_mm, strict=True)
        )
        inward = self.radius_mm - np.hypot(y[:, None], x[None])
        if inward.min() > 5 * self.rim_mm:
            return
        rim = (self.rim_hu * np.exp(-np.clip(inward, 0, None) / self.rim_mm)).astype(np.float32)
        hu += rim * np.clip(hu * np.float32(2e-3) + np.float32(1.6), 0, 1)  # none in air
        hu[:, inward < 0] = PADDING_HU
