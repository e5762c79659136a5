"""The physician who draws the invisible: the CTV rule, and the habits of the one who applies it.

The clinical target volume is *not* drawn into the image. It follows the consensus of the RTOG (Michalski et al.,
Int J Radiat Oncol Biol Phys 2010;76:361) from bladder, rectum, pubis and the pelvic side wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.anatomy import Anatomy
from models.phantom.lattice import FloatArray, Points
from models.phantom.variation import Waves

EDGE_MM = 5.0  # borders meet in rounded edges, as a pen leaves them


@dataclass(frozen=True, kw_only=True)
class Physician:
    """Habits, each within what the consensus allows; all in mm."""

    below_anastomosis: float  # consensus: 8 to 12
    above_symphysis: float  # consensus: 30 to 40
    bladder_strip: float  # depth of posterior bladder that is included: 10 to 20
    pubic_gap: float
    rectal_gap: float
    lateral_inset: float
    tremor: Waves  # low-frequency deviation of the surface

    def ctv(self, anatomy: Anatomy, p: Points, where: Points | None = None) -> FloatArray:
        """The CTV as a field (negative inside, about mm).

        Args:
            anatomy: the man.
            p: points in the anatomy's own space (after its warp), each (z, y, x).
            where: the lattice's axes, at which the tremor is taken; without it there is none.
        """
        low = anatomy.anastomosis_z - self.below_anastomosis
        high = anatomy.symphysis_top + self.above_symphysis
        height = shapes.between(p, low, high)
        front = self._anterior_y(anatomy, p) - p.y
        lateral = np.abs(p.x - np.float32(anatomy.asymmetry)) - (anatomy.levator_x(p) - self.lateral_inset)
        behind_rectum = p.y - _rectal_centre_y(anatomy, p)
        rectum = np.float32(self.rectal_gap) - anatomy.bowel_tube(p)
        field = height
        for border in (front, lateral, behind_rectum, rectum):
            field = shapes.blend(field, np.asarray(border, dtype=np.float32), EDGE_MM)
        return field if where is None else field + self.tremor.at(where)

    def _anterior_y(self, anatomy: Anatomy, p: Points) -> FloatArray:
        """Front border: the pubis below the symphysis' top, a strip of posterior bladder above it."""
        pubis = anatomy.symphysis_y + 9 + self.pubic_gap
        (x, y, z), (a, b, c) = anatomy.bladder_centre, anatomy.bladder_radii
        inside = np.clip(1 - ((p.x - x) / a) ** 2 - ((p.z - z) / c) ** 2, 0.05, 1)
        strip = y + b * np.sqrt(inside) - self.bladder_strip
        # Where the bladder is short there is no strip: the seminal-vesicle bed, in front of the rectum, is left.
        table = np.asarray(anatomy.rectum_knots)
        rectum_front = np.interp(p.z, table[:, 0], table[:, 2] - table[:, 4])
        strip = np.maximum(strip, rectum_front - 26)
        above = np.clip((p.z - (anatomy.symphysis_top - 8)) / 16, 0, 1)
        above = above * above * (3 - 2 * above)
        return np.asarray(pubis * (1 - above) + np.maximum(strip, pubis) * above, dtype=np.float32)


def _rectal_centre_y(anatomy: Anatomy, p: Points) -> FloatArray:
    """The CTV may embrace the rectum from the front but not pass its middle (y in mm by height)."""
    table = np.asarray(anatomy.rectum_knots)
    return np.interp(p.z, table[:, 0], table[:, 2] - 0.25 * table[:, 4]).astype(np.float32)


def draw_physician(rng: np.random.Generator, *, tremor_mm: float = 1.0) -> Physician:
    """Draw one physician's habits."""
    return Physician(
        below_anastomosis=rng.uniform(7, 11),
        above_symphysis=rng.uniform(32, 38),
        bladder_strip=rng.uniform(12, 18),
        pubic_gap=rng.uniform(0, 3),
        rectal_gap=rng.uniform(0, 1),
        lateral_inset=rng.uniform(0, 2),
        tremor=Waves.draw(rng, rms_mm=tremor_mm, wavelengths_mm=(40, 120)),
    )
