"""The prostate bed after the operation: remnants, scar, clips, and what sometimes stands there instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.effects import Effects
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points, Vector

Blob = tuple[Vector, Vector]  # centre, radii


@dataclass(frozen=True, kw_only=True)
class Bed:
    """Small things between bladder and rectum, mm."""

    vesicles: tuple[Blob, ...]
    scar: tuple[Blob, ...]
    mass: Blob | None  # prostate, recurrence, or in women the uterus
    spacer: Blob | None
    clips: tuple[tuple[Vector, float], ...]  # centre, half length

    @staticmethod
    def draw(
        rng: np.random.Generator, marks: Landmarks, neck: Vector, *, rectum_front: float, effects: Effects
    ) -> Bed:
        """Around the anastomosis `neck` (x, y, z); `rectum_front` is the y of the rectum's front wall above it."""
        _, y, z = neck
        behind = rectum_front - 5
        vesicles: list[Blob] = []
        if rng.random() < 0.35:
            for side in (1, -1)[: int(rng.integers(1, 3))]:
                centre = (
                    float(side) * rng.uniform(10, 22),
                    behind - rng.uniform(0, 5),
                    z + rng.uniform(25, 42),
                )
                vesicles.append((centre, (rng.uniform(7, 14), rng.uniform(3, 6), rng.uniform(4, 8))))
        scar: list[Blob] = []
        for _ in range(int(rng.integers(1, 6))):
            centre = (rng.normal(0, 14), rng.uniform(y - 8, behind), z + rng.uniform(-10, 30))
            scar.append((centre, (rng.uniform(4, 16), rng.uniform(2, 6), rng.uniform(4, 14))))
        urethra = ((0.0, marks.symphysis_back + 24, z - 9), (5.0, 5.0, 16.0))
        mass = None
        if rng.random() < 0.15:
            size = rng.uniform(8, 24)
            mass = (
                (rng.normal(0, 4), rectum_front - size * 0.7 - 2, z + rng.uniform(-6, 14)),
                (size * rng.uniform(1.0, 1.35), size * 0.8, size * rng.uniform(0.8, 1.2)),
            )
        spacer = None
        if effects.spacer and rng.random() < 0.05:
            radii = (rng.uniform(14, 24), rng.uniform(4, 8), rng.uniform(14, 24))
            spacer = ((rng.normal(0, 2), rectum_front - radii[1] * 0.8, z + rng.uniform(0, 18)), radii)
        clips = []
        if effects.clips and rng.random() < 0.7:
            for _ in range(int(rng.integers(1, 14))):
                way = float(rng.choice([1, -1]))
                reach = rng.uniform(10, 34) if rng.random() < 0.7 else rng.uniform(35, 60)
                at = (way * reach, rng.uniform(y - 15, behind + 10), z + rng.uniform(-5, 60))
                clips.append((at, rng.uniform(0.8, 2.2)))
        return Bed(
            vesicles=tuple(vesicles), scar=(*scar, urethra), mass=mass, spacer=spacer, clips=tuple(clips)
        )

    def blobs(self, p: Points, blobs: tuple[Blob, ...]) -> FloatArray:
        """Several ellipsoids as one."""
        return shapes.union(*(shapes.ellipsoid(p, centre, radii) for centre, radii in blobs))
