"""From the scanner's space to the phantom's own: how a man lies, how large he is, what makes him an individual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom.lattice import Lattice, Points
from models.phantom.variation import Warp

MAX_TURN_DEG = (6.0, 5.0, 7.0)  # about x (pelvic tilt), y (roll in the couch's plane), z


@dataclass(frozen=True)
class Pose:
    """Scanner point → own point: a smooth warp, then a turn, then a stretch. Own space is the atlas'."""

    turn: NDArray[np.float64]  # (3, 3) on (x, y, z)
    stretch_xyz: tuple[float, float, float]
    warp: Warp

    @staticmethod
    def draw(rng: np.random.Generator, *, rotation: bool) -> Pose:
        """Sizes within 14 %, turns of a few degrees, warps of 1.5 to 4 mm."""
        turn = np.eye(3)
        for axis, (limit, share) in enumerate(zip(MAX_TURN_DEG, rng.normal(0, 0.5, 3), strict=True)):
            angle = np.deg2rad(limit * np.clip(share, -1.5, 1.5)) * rotation
            turn = _about(axis, angle) @ turn
        size = rng.uniform(0.92, 1.10)
        x, y, z = size * rng.uniform(0.95, 1.05, 3)
        return Pose(turn, (float(x), float(y), float(z)), Warp.draw(rng, rms_mm=rng.uniform(1.5, 4.0)))

    def points(self, lattice: Lattice) -> Points:
        """The lattice's points in own space, each coordinate (z, y, x) mm."""
        p = self.warp.points(lattice)
        rows = self.turn / np.array(self.stretch_xyz)[:, None]
        x, y, z = (sum(np.float32(w) * c for w, c in zip(row, (p.x, p.y, p.z), strict=True)) for row in rows)
        return Points(np.asarray(x), np.asarray(y), np.asarray(z))

    def to_scanner(self, xyz_mm: tuple[float, float, float]) -> NDArray[np.float64]:
        """Where a point of own space lies for the scanner, (x, y, z) mm, to within the warp (a few mm)."""
        return np.asarray(self.turn.T @ (np.array(xyz_mm) * np.array(self.stretch_xyz)))


def _about(axis: int, angle: float) -> NDArray[np.float64]:
    """Rotation about the x, y or z axis, on (x, y, z)."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
    return turn
