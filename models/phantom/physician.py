"""The physicians who draw the invisible: the CTV rule, the habits of those who apply it, and their mean.

The clinical target volume is *not* drawn into the image. It follows the consensus of the RTOG (Michalski et al.,
Int J Radiat Oncol Biol Phys 2010;76:361) from bladder, rectum, pubis and the pelvic side wall. Physicians differ where
nothing in the image tells them: at the lower and upper end, in the bladder and in the bed of the seminal vesicles,
by 4.6 to 7 mm (Ost et al. 2011); where the CTV meets an organ they differ little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.anatomy import Anatomy
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points
from models.phantom.variation import Waves

EDGE_MM = 5.0  # borders meet in rounded edges, as a pen leaves them
OBSERVERS = 5
FAR_MM = 25.0
CLEAR_OF_BONE_MM = 1.0
VESICLE_BED_MM = 24.0


@dataclass(frozen=True, kw_only=True)
class Physician:
    """Habits in mm; the consensus' range beside each."""

    below_anastomosis: float  # 8 to 12
    above_symphysis: float  # 30 to 40
    bladder_strip: float  # depth of posterior bladder that is included: 10 to 20
    pubic_gap: float
    rectal_gap: float
    lateral_inset: float
    tremor: Waves  # everywhere
    doubt: Waves  # where the image does not tell

    def ctv(self, ground: Ground) -> FloatArray:
        """The CTV as a field (negative inside, about mm), (z, y, x)."""
        marks = ground.marks
        doubt = self.doubt.at(ground.where)
        ends = shapes.between(
            ground.p, ground.neck_z - self.below_anastomosis, marks.symphysis_top + self.above_symphysis
        )
        front = self._anterior_y(ground) - ground.p.y + doubt * ground.above_symphysis
        field = np.asarray(ends + doubt, dtype=np.float32)
        for border in (
            front,
            ground.beyond_levator + np.float32(self.lateral_inset),
            ground.behind_rectum,
            np.float32(self.rectal_gap) - ground.rectum,
            np.float32(CLEAR_OF_BONE_MM) - ground.bone,
        ):
            field = shapes.blend(field, np.asarray(border, dtype=np.float32), EDGE_MM)
        return field + self.tremor.at(ground.where)

    def _anterior_y(self, ground: Ground) -> FloatArray:
        """Front border: the pubis below the symphysis' top, a strip of posterior bladder above it."""
        pubis = np.float32(ground.marks.symphysis_back + self.pubic_gap)
        # Where the bladder is short there is no strip: the seminal-vesicle bed, in front of the rectum, is left.
        strip = np.maximum(ground.bladder_back_y - self.bladder_strip, ground.rectum_front_y - VESICLE_BED_MM)
        above = ground.above_symphysis
        return np.asarray(pubis * (1 - above) + np.maximum(strip, pubis) * above, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all physicians of a case see: the borders that organs give, each (z, y, x), mm."""

    marks: Landmarks
    p: Points  # in the anatomy's own space
    where: Points  # the scanner's axes: a hand deviates there
    neck_z: float
    beyond_levator: FloatArray
    behind_rectum: FloatArray
    rectum: FloatArray
    rectum_front_y: FloatArray
    bladder_back_y: FloatArray
    bone: FloatArray
    above_symphysis: FloatArray

    @staticmethod
    def of(anatomy: Anatomy, p: Points, where: Points) -> Ground:
        """Measure one anatomy at points."""
        middle, depth = anatomy.rectum.column(p, 2), anatomy.rectum.column(p, 4)
        top = anatomy.marks.symphysis_top
        return Ground(
            marks=anatomy.marks,
            p=p,
            where=where,
            neck_z=anatomy.bladder.bottom_z,
            beyond_levator=np.abs(p.x) - anatomy.floor.levator_x(p),
            behind_rectum=p.y - (middle - np.float32(0.25) * depth),
            rectum=anatomy.rectum.tube(p),
            rectum_front_y=middle - depth,
            bladder_back_y=anatomy.bladder.back_y(p),
            bone=anatomy.pelvis.at(p, "hip")[0],
            above_symphysis=_ramp(p.z, top - 8, top + 8),
        )


def mean_ctv(fields: Sequence[FloatArray]) -> FloatArray:
    """The mean observer: the mean of the observers' fields, each limited to `FAR_MM`."""
    total = sum(np.clip(field, -FAR_MM, FAR_MM) for field in fields)
    return np.asarray(total / len(fields), dtype=np.float32)


def draw_physicians(rng: np.random.Generator, *, count: int = OBSERVERS) -> tuple[Physician, ...]:
    """Draw the observers of one case."""
    return tuple(_draw_physician(rng) for _ in range(count))


def _draw_physician(rng: np.random.Generator) -> Physician:
    return Physician(
        below_anastomosis=_within(rng, 9, 3, (4, 16)),
        above_symphysis=_within(rng, 35, 4, (26, 44)),
        bladder_strip=_within(rng, 15, 3.5, (7, 24)),
        pubic_gap=rng.uniform(0, 3),
        rectal_gap=rng.uniform(0, 1),
        lateral_inset=rng.uniform(-1, 2),
        tremor=Waves.draw(rng, rms_mm=1.0, wavelengths_mm=(40, 120)),
        doubt=Waves.draw(rng, rms_mm=4.0, wavelengths_mm=(45, 130)),
    )


def _within(rng: np.random.Generator, mean: float, deviation: float, limits: tuple[float, float]) -> float:
    return float(np.clip(rng.normal(mean, deviation), *limits))


def _ramp(z: FloatArray, low: float, high: float) -> FloatArray:
    """0 below, 1 above, smooth between."""
    share = np.clip((z - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
