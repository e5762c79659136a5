"""What lies around a patient in the scanner: couch, cloth, hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.effects import Effects
from models.phantom.lattice import FloatArray, Points, Vector


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Things in the scanner's own space, mm."""

    couch: bool
    couch_curve: float  # mm of sag per mm² of x
    couch_gap: float  # between skin and plate
    couch_width: float
    cloth_gap: float | None
    arms: tuple[tuple[Vector, Vector, float], ...]  # rods, relative to the body's flank

    @staticmethod
    def draw(rng: np.random.Generator, effects: Effects) -> Surroundings:
        """A couch nearly always, cloth and hands seldom."""
        arms: list[tuple[Vector, Vector, float]] = []
        if effects.arms and rng.random() < 0.1:
            for side in (1, -1)[: int(rng.integers(1, 3))]:
                start = (side * rng.uniform(30, 48), rng.uniform(-40, 30), rng.uniform(-90, 20))
                end = (start[0], start[1] + rng.normal(0, 15), start[2] + 320)
                arms.append((start, end, rng.uniform(22, 34)))
        return Surroundings(
            couch=bool(effects.couch and rng.random() < 0.93),
            couch_curve=max(0.0, rng.uniform(-0.0006, 0.0012)),
            couch_gap=rng.uniform(0, 14),
            couch_width=rng.uniform(200, 265),
            cloth_gap=rng.uniform(1, 8) if effects.clothing and rng.random() < 0.25 else None,
            arms=tuple(arms),
        )

    def couch_plate(self, p: Points, skin_y: float, *, prone: bool) -> FloatArray:
        """A plate under the side the patient lies on, `skin_y` being that side's outermost y."""
        down = -1.0 if prone else 1.0
        depth = (p.y - np.float32(skin_y)) * np.float32(down) - np.float32(self.couch_gap + 12)
        plate = np.abs(depth + p.x**2 * np.float32(self.couch_curve)) - np.float32(12)
        return np.asarray(np.maximum(plate, np.abs(p.x) - np.float32(self.couch_width)), dtype=np.float32)

    def hands(self, p: Points, flank_x: float) -> FloatArray:
        """Forearms beside the body, whose half width is `flank_x`."""
        rods = []
        for start, end, radius in self.arms:
            shift = np.sign(start[0]) * flank_x
            rods.append(
                shapes.capsule(
                    p, (start[0] + shift, start[1], start[2]), (end[0] + shift, end[1], end[2]), radius
                )
            )
        return shapes.union(*rods)
