"""The bladder: from nearly empty to 700 cc, on the pelvic floor, pressed by bowel, never through bone or rectum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.phantom import shapes
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points
from models.phantom.variation import Waves

CATHETER_CC = 200.0  # a bladder that drains is not fuller
HEIGHT_FIRST = 0.3  # 0: a bladder that is filled anew keeps its proportions


@dataclass(frozen=True, kw_only=True)
class Bladder:
    """An ellipsoid with a leaning axis, an uneven surface and dents in its dome; mm."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    lean: float  # mm to the front per mm upwards
    wall: float
    dents: tuple[tuple[float, float, float, float], ...]  # x, y, z, radius of what presses
    unevenness: Waves
    catheter: bool

    @staticmethod
    def draw(
        rng: np.random.Generator,
        marks: Landmarks,
        rectum_front: float,
        *,
        bowel: bool,
    ) -> Bladder:
        """A bladder behind the symphysis; `rectum_front` is the y of the rectum's front above the bed."""
        volume = float(np.exp(rng.uniform(np.log(50), np.log(700))))
        full = np.clip(np.log(volume / 50) / np.log(14), 0, 1)
        shape = np.array(
            [rng.uniform(1.0, 1.35), rng.uniform(0.75, 1.0), rng.uniform(0.55, 0.95) + 0.3 * full]
        )
        a, b, c = shape * (1000 * volume / (4 / 3 * np.pi * shape.prod())) ** (1 / 3)
        bottom = marks.symphysis_top - rng.uniform(6, 24)
        back = rectum_front - rng.uniform(0, 5)
        room = back - (marks.symphysis_back + rng.uniform(3, 9))
        middle = back - b if 2 * b > room else back - room / 2 - rng.uniform(-0.4, 0.4) * (room - 2 * b)
        dome = bottom + 2 * c
        dents = tuple(
            (
                rng.normal(0, 0.5) * a,
                middle + rng.normal(0, 0.4) * b,
                dome + rng.uniform(2, 14),
                rng.uniform(12, 24),
            )
            for _ in range(int(rng.integers(0, 4)) if bowel else 0)
        )
        return Bladder(
            centre=(rng.normal(0, 3), float(middle), float(bottom + c)),
            radii=(float(a), float(b), float(c)),
            lean=rng.uniform(-0.1, 0.25),
            wall=rng.uniform(2.0, 3.5) + 2.5 * (1 - full) * rng.random(),
            dents=dents,
            unevenness=Waves.draw(rng, rms_mm=rng.uniform(0.5, 2.2), wavelengths_mm=(35, 90), waves=4),
            catheter=bool(rng.random() < 0.08 and volume < CATHETER_CC),
        )

    def filled(self, cc: float, *, front_y: float) -> Bladder:
        """The same bladder with another volume: bottom and back stay, its dome and what presses on it move.

        It grows more in height than in width, as a bladder between bones does, and not beyond the belly's wall, whose
        inner side is at `front_y`.
        """
        (x, y, z), (a, b, c) = self.centre, self.radii
        scale = float(cc / (4 / 3 * np.pi * a * b * c / 1000)) ** (1 / 3)
        wider, taller = scale * scale ** (-HEIGHT_FIRST / 2), scale * scale**HEIGHT_FIRST
        deeper = min(wider, max((y + b - front_y) / (2 * b), wider / 2))
        spared = (wider / deeper) ** 0.5
        wider, taller = wider * spared, taller * spared
        middle, dome = y + b - b * deeper, self.bottom_z + 2 * c * taller
        return replace(
            self,
            centre=(x, middle, self.bottom_z + c * taller),
            radii=(a * wider, b * deeper, c * taller),
            dents=tuple(
                (dx * wider, middle + (dy - y) * deeper, dome + dz - (z + c), radius)
                for dx, dy, dz, radius in self.dents
            ),
            catheter=self.catheter and cc < CATHETER_CC,
        )

    @property
    def bottom_z(self) -> float:
        """The vesicourethral anastomosis."""
        return self.centre[2] - self.radii[2]

    @property
    def dome_z(self) -> float:
        """Height of the dome, without dents."""
        return self.centre[2] + self.radii[2]

    def free(self, p: Points) -> FloatArray:
        """Outer wall if nothing stood in its way."""
        x, y, z = self.centre
        leaned = Points(p.x, p.y + np.float32(self.lean) * (p.z - np.float32(z)), p.z)
        field = shapes.ellipsoid(leaned, self.centre, self.radii)
        for dx, dy, dz, radius in self.dents:
            press = shapes.ellipsoid(p, (dx + x, dy, dz), (radius * 1.4, radius, radius))
            field = shapes.blend(field, -press, 6.0)
        return field

    def back_y(self, p: Points) -> FloatArray:
        """Y of the back of the ellipsoid at the points' x and z; its middle where the bladder is not."""
        (x, y, z), (a, b, c) = self.centre, self.radii
        inside = np.clip(1 - ((p.x - x) / a) ** 2 - ((p.z - z) / c) ** 2, 0.05, 1)
        return np.asarray(y - self.lean * (p.z - z) + b * np.sqrt(inside), dtype=np.float32)
