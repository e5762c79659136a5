"""Below and beside the prostate bed: levator ani, sphincter, penile bulb, crura, perineum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points, Vector

LEVATOR_MM = 4.0


@dataclass(frozen=True, kw_only=True)
class PelvicFloor:
    """Measures in mm."""

    marks: Landmarks
    half_width: tuple[float, float]  # between the levators, at the apex and at the symphysis' top
    bulb_centre: Vector
    bulb_radii: Vector
    crus_radius: float
    testes_z: float
    bulb_present: bool = True  # without: no bulb, no corpora, no testes

    @staticmethod
    def draw(rng: np.random.Generator, marks: Landmarks) -> PelvicFloor:
        """The bulb lies under the symphysis' lower edge, in front of the anal canal."""
        z = marks.symphysis_bottom - rng.uniform(0, 13)
        return PelvicFloor(
            marks=marks,
            half_width=(rng.uniform(12, 17), rng.uniform(22, 30)),
            bulb_centre=(rng.normal(0, 1.5), marks.symphysis_back + rng.uniform(22, 34), z),
            bulb_radii=(rng.uniform(7, 12), rng.uniform(8, 14), rng.uniform(6.5, 12)),
            crus_radius=rng.uniform(4, 7.5),
            testes_z=z - rng.uniform(45, 90),
        )

    def levator_x(self, p: Points) -> FloatArray:
        """Half width in mm of the funnel between the levator muscles, by height."""
        low, high = self.half_width
        apex, top = self.marks.symphysis_bottom - 4, self.marks.symphysis_top
        share = np.clip((p.z - apex) / (top - apex), 0, 1.6)
        return np.asarray(low + (high - low) * share, dtype=np.float32)

    def levator(self, p: Points, rectum_y: FloatArray) -> FloatArray:
        """The two thin plates beside bed and rectum, which meet behind the rectum's middle `rectum_y`."""
        half = LEVATOR_MM / 2
        behind = np.maximum(p.y - rectum_y, 0)
        narrowed = np.sqrt(np.maximum(self.levator_x(p) ** 2 - behind**2, 1.0))
        plates = np.abs(np.abs(p.x) - narrowed - half) - half
        span = shapes.intersection(
            shapes.between(p, self.marks.symphysis_bottom - 10, self.marks.symphysis_top + 6),
            np.float32(self.marks.symphysis_back + 8) - p.y,
            p.y - rectum_y - np.float32(26),
        )
        return shapes.intersection(np.asarray(plates, dtype=np.float32), span)

    def bulb(self, p: Points) -> FloatArray:
        """The bulb of the corpus spongiosum."""
        if not self.bulb_present:
            return np.full(p.shape, shapes.FAR_MM, dtype=np.float32)
        return shapes.ellipsoid(p, self.bulb_centre, self.bulb_radii)

    def perineum(self, p: Points) -> FloatArray:
        """The muscles around bulb and membranous urethra."""
        x, y, z = self.bulb_centre
        return shapes.ellipsoid(p, (x, y - 2, z + self.bulb_radii[2] * 0.7), (26, 17, 8))

    def corpora(self, p: Points) -> FloatArray:
        """Crura along the ischiopubic rami, their union under the symphysis, shaft, testes."""
        if not self.bulb_present:
            return np.full(p.shape, shapes.FAR_MM, dtype=np.float32)
        x, y, z = self.bulb_centre
        r, front = self.crus_radius, self.marks.symphysis_back - 26
        parts = []
        for side in (1, -1):
            q = p.mirrored(side)
            parts.append(shapes.capsule(q, (8, front + 8, z - 6), (36, y + 8, z - 8), r))
            parts.append(shapes.ellipsoid(q, (16, front - 10, self.testes_z), (14, 16, 22)))
        spongiosum = shapes.capsule(p, (x, y, z - 3), (x, front, z - 16), r + 1)
        shaft = shapes.capsule(p, (0, front + 6, z - 8), (0, front - 22, z - 48), 12.0)
        return shapes.union(*parts, spongiosum, shaft)
