"""What makes a tissue uneven: grain on several scales, and strands as septa and fatty streaks draw them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom.lattice import FloatArray

Triple = tuple[float, float, float]  # z, y, x


@dataclass(frozen=True)
class Fields:
    """Smooth random fields over one map of a shape and a spacing (z, y, x mm)."""

    rng: np.random.Generator
    shape_zyx: tuple[int, ...]
    spacing_zyx_mm: Triple

    def smooth(self, grain_mm: float, *, along_z: float = 1.0, along_x: float = 1.0) -> FloatArray:
        """A field of unit variance with grains of about `grain_mm`, so many times longer along an axis, (z, y, x).

        Cubic B-splines over white noise, three small matrix products: about 3 ns a voxel.
        """
        grains = (grain_mm * along_z, grain_mm, grain_mm * along_x)
        z, y, x = (
            _spline_weights(n, d / grain, self.rng.random())
            for n, d, grain in zip(self.shape_zyx, self.spacing_zyx_mm, grains, strict=True)
        )
        knots = self.rng.standard_normal((z.shape[1], y.shape[1], x.shape[1]), dtype=np.float32)
        rows = np.matmul(y, np.tensordot(z, knots, 1))
        return np.asarray(np.matmul(rows, x.T), dtype=np.float32)

    def grain(self, grain_mm: float) -> FloatArray:
        """Several scales in one, as in fractal noise: `grain_mm`, 2.5 and 6 times that; unit variance."""
        scales = ((1.0, 0.68), (2.5, 0.58), (6.0, 0.45))
        total = np.float32(scales[0][1]) * self.smooth(grain_mm)
        for factor, weight in scales[1:]:
            total += np.float32(weight) * self.smooth(grain_mm * factor)
        return total

    def strands(
        self, cell_mm: float, *, width_mm: float, along_x: float = 1.0
    ) -> tuple[FloatArray, FloatArray]:
        """Thin sheets between cells of about `cell_mm`, and threads within the sheets; each 0 to 1, (z, y, x).

        Sheets are where a smooth field crosses zero, threads where a second one does too: a slice cuts sheets as
        curved lines, as it does septa, and threads as dots and short lines, as it does small vessels.
        """
        sharp = np.float32(-((cell_mm / (0.6 * width_mm)) ** 2))  # a field's slope is about 1.2 per cell
        sheets = self.smooth(cell_mm, along_z=2, along_x=along_x)
        np.multiply(sheets, sheets, out=sheets)
        threads = self.smooth(cell_mm, along_z=2, along_x=along_x)
        threads *= threads
        threads += sheets
        for field, flatter in ((sheets, 1.0), (threads, 0.5)):
            field *= sharp * np.float32(flatter)
            np.exp(np.maximum(field, np.float32(-20), out=field), out=field)
        return sheets, threads


def _spline_weights(points: int, step: float, phase: float) -> FloatArray:
    """Cubic B-spline weights (points, knots), rows of unit length: white noise in, unit variance out."""
    at = np.arange(points) * step + phase + 1
    distance = np.abs(at[:, None] - np.arange(int(at[-1]) + 3)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    weights = np.where(distance < 1, near, np.clip(2 - distance, 0, None) ** 3 / 6)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True), dtype=np.float32)
