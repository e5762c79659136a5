"""Rectum, anal canal and the beginning of the sigmoid: one tube along the sacral curve, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from models.phantom import shapes
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points, Vector

CANAL_MM = 42.0
KNOT_MM = 5.0


@dataclass(frozen=True, kw_only=True)
class Rectum:
    """The tube's knots (z, x, y, radius x, radius y) in mm, and per knot what fills it."""

    knots: NDArray[np.float64]  # (n, 5), z ascending
    low: float  # anorectal junction
    high: float  # rectosigmoid flexure
    wall: float
    gas: NDArray[np.float64]  # (n,) share of the lumen, 0 to 1
    collapsed: NDArray[np.float64]  # (n,) 0 open, 1 nothing but wall

    @staticmethod
    def draw(rng: np.random.Generator, marks: Landmarks, bulb_z: float) -> Rectum:
        """A rectum in front of sacrum and coccyx; width 20 to 60 mm."""
        low, high = bulb_z + rng.uniform(-4, 8), rng.uniform(58, 95)
        wide = float(np.exp(rng.uniform(np.log(11), np.log(27))))
        flat = rng.uniform(0.6, 1.0)
        bend = marks.symphysis_back + rng.uniform(40, 54)
        heights = np.array([low - CANAL_MM, low, low + 18, max(marks.coccyx_z + 14, low + 36), 42.0, high])
        heights = np.maximum.accumulate(heights + np.arange(6) * 0.1)
        back = [bend + 14, bend + 1.5]
        radius_x = np.array([8.0, 11.0, 0.75 * wide, wide, wide, 0.8 * wide]) * rng.uniform(0.9, 1.1, 6)
        radius_y = np.maximum(radius_x * np.array([1.2, 1.05, flat, flat, flat, flat]), 7.0)
        for z, ry in zip(heights[2:], radius_y[2:], strict=True):
            # Below the coccyx the pelvic floor carries the rectum.
            behind = marks.sacrum_y(float(max(z, marks.coccyx_z + 6))) - rng.uniform(4, 12) - ry
            back.append(min(behind, bend + 6 + 0.6 * (z - low)))
        sway = np.cumsum(rng.normal(0, 4, 6)) * np.array([0, 0, 0.5, 1, 1, 1])
        heights = np.append(heights, high + 50)
        sway = np.append(sway, sway[-1] + rng.uniform(-45, 45))
        back.append(back[-1] - rng.uniform(25, 55))
        radius_x, radius_y = (
            np.append(radius_x, rng.uniform(10, 17)),
            np.append(radius_y, rng.uniform(10, 16)),
        )
        z = np.arange(heights[0], heights[-1], KNOT_MM)
        rows = [PchipInterpolator(heights, v)(z) for v in (sway, np.array(back), radius_x, radius_y)]
        ripple = 1 + 0.10 * _wander(rng, z)
        rows[2], rows[3] = rows[2] * ripple, rows[3] * (1 + 0.08 * _wander(rng, z))
        return Rectum(
            knots=np.column_stack([z, *rows]),
            low=low,
            high=high,
            wall=rng.uniform(2.2, 4.5),
            gas=np.clip(_wander(rng, z) * 0.45 + rng.uniform(-0.6, 0.6), 0, 1),
            collapsed=(_wander(rng, z) + rng.uniform(-2.2, 0.6) > 0).astype(float),
        )

    @property
    def corners(self) -> tuple[Vector, Vector]:
        """Lower and upper corner (x, y, z mm) of a box around the tube."""
        _, x, y, rx, ry = self.knots.T
        low = float((x - rx).min()), float((y - ry).min()), self.low
        return low, (float((x + rx).max()), float((y + ry).max()), self.high)

    def column(self, p: Points, column: int) -> FloatArray:
        """One of the knots' columns by height."""
        return np.interp(p.z, self.knots[:, 0], self.knots[:, column]).astype(np.float32)

    def front_at(self, z: float) -> float:
        """Y of the front wall at a height."""
        return float(np.interp(z, self.knots[:, 0], self.knots[:, 2] - self.knots[:, 4]))

    def tube(self, p: Points) -> FloatArray:
        """Outer wall from anus to sigmoid."""
        return shapes.intersection(
            shapes.tube(p, self.knots), shapes.between(p, self.knots[0, 0], self.knots[-1, 0])
        )

    def contoured(self, p: Points) -> FloatArray:
        """The part that is contoured: anorectal junction to rectosigmoid flexure."""
        return shapes.intersection(shapes.tube(p, self.knots), shapes.between(p, self.low, self.high))

    def gas_surface(self, p: Points, *, prone: bool) -> FloatArray:
        """Negative where gas stands: it rises to the side that is up, with a level surface."""
        z = self.knots[:, 0]
        share = np.interp(p.z, z, self.gas).astype(np.float32)
        up = np.float32(-1.0 if not prone else 1.0)
        half = self.column(p, 4) - np.float32(self.wall)
        depth = (p.y - self.column(p, 2)) * up  # grows upwards
        return np.asarray(half * (1 - 2 * share) - depth, dtype=np.float32)

    def lumen(self, p: Points, tube: FloatArray) -> FloatArray:
        """Inside of the wall; nowhere where it is collapsed, nor in the anal canal."""
        shut = np.interp(p.z, self.knots[:, 0], self.collapsed).astype(np.float32) * 9
        return np.asarray(np.maximum(tube + np.float32(self.wall) + shut, self.low + 4 - p.z), np.float32)


def _wander(rng: np.random.Generator, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth random function of height with deviation near 1 and features of 25 to 70 mm."""
    total = np.zeros_like(z)
    for length in rng.uniform(25, 70, 3):
        total += np.sin(2 * np.pi * z / length + rng.uniform(0, 2 * np.pi))
    return np.asarray(total * np.sqrt(2 / 3))
