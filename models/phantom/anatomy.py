"""One digital pelvis: where its bones, muscles and organs are. No CT numbers here, no CTV either.

Positions in mm in the phantom's own space: x to the patient's left, y to the back, z to the head; origin between the
femoral heads. Sizes are drawn wider than patients', since a network must not meet its limits in the clinic (SCIENCE
4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from models.phantom import shapes
from models.phantom.atlas import SHIPPED, Pelvis, load_atlas
from models.phantom.bed import Bed
from models.phantom.bladder import Bladder
from models.phantom.bowel import Loop, Vessels, draw_bowel
from models.phantom.effects import Effects
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Lattice, Points
from models.phantom.pelvic_floor import PelvicFloor
from models.phantom.pose import Pose
from models.phantom.rectum import Rectum
from models.phantom.surroundings import Surroundings
from models.phantom.variation import Waves

LEFT, RIGHT, BOTH = 1, -1, 2
CLEAR_OF_BONE_MM, CLEAR_OF_MUSCLE_MM, CLEAR_OF_RECTUM_MM = 2.0, 1.0, 1.0
CLEAR_OF_COCCYX_MM = 0.5
BONES, MUSCLES = ("hip", "spine", "femur"), ("obturator", "iliopsoas", "wall")


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """One man, drawn once; every field follows from these measures."""

    atlas: Path
    number: int  # which pelvis of the atlas
    mirrored: bool
    growth: tuple[float, float]  # mm of fat beyond the atlas' skin: everywhere, and more on the belly
    skin_waves: Waves
    pose: Pose
    floor: PelvicFloor
    bladder: Bladder
    rectum: Rectum
    bed: Bed
    bowel: tuple[Loop, ...]
    vessels: Vessels
    surroundings: Surroundings
    prosthesis: int  # LEFT, RIGHT, BOTH or 0

    @cached_property
    def pelvis(self) -> Pelvis:
        """Bones, muscles and skin."""
        return load_atlas(self.atlas).pelvis(self.number, mirrored=self.mirrored)

    @property
    def marks(self) -> Landmarks:
        """The pelvis' landmarks."""
        return self.pelvis.landmarks

    @property
    def metal_hips(self) -> tuple[int, ...]:
        """The sides with a prosthesis."""
        return {0: (), BOTH: (LEFT, RIGHT)}.get(self.prosthesis, (self.prosthesis,))

    def points(self, lattice: Lattice) -> Points:
        """A lattice's points in own space."""
        return self.pose.points(lattice)

    def head_ball(self, p: Points, side: int) -> FloatArray:
        """The ball of one femur, a millimetre beyond its surface so that the bone decides."""
        marks = self.marks
        return shapes.ellipsoid(p.mirrored(side), (marks.head_x, 0, 0), (marks.head_radius + 1.0,) * 3)

    def femoral_head(self, p: Points, side: int) -> FloatArray:
        """The head of one femur: the bone within the ball."""
        ball = self.head_ball(p, side)
        box, q = p.near(*_around((side * self.marks.head_x, 0.0, 0.0), self.marks.head_radius + 16))
        field = np.maximum(ball, shapes.FAR_MM)
        if q.x.size:
            field[box] = shapes.intersection(ball[box], self.pelvis.at(q, "femur")[0])
        return field

    def bladder_wall(self, p: Points) -> FloatArray:
        """Outer surface of the bladder as it fits between pubis, pelvic wall and rectum."""
        box, q = p.near(*_around(self.bladder.centre, 15 + 1.5 * max(self.bladder.radii)))
        field = np.full(p.shape, shapes.FAR_MM, dtype=np.float32)
        if q.x.size == 0:
            return field
        free = self.bladder.free(q) + self.bladder_waves(q)
        walls = [np.float32(CLEAR_OF_BONE_MM) - bone for bone in self.pelvis.at(q, *BONES)]
        walls += [np.float32(CLEAR_OF_MUSCLE_MM) - muscle for muscle in self.pelvis.at(q, *MUSCLES)]
        walls.append(np.float32(CLEAR_OF_RECTUM_MM) - self.rectum.tube(q))
        for wall in walls:
            free = shapes.blend(free, wall, 2.0)
        field[box] = free
        return field

    def bladder_waves(self, p: Points) -> FloatArray:
        """How uneven the bladder's surface is, mm."""
        return self.bladder.unevenness.anywhere(p)

    def rectal_wall(self, p: Points) -> FloatArray:
        """Outer surface of the rectum as contoured; coccyx and sacrum stay outside."""
        field = self.rectum.contoured(p)
        box, q = p.near(*self.rectum.corners)
        if q.x.size:
            bone = self.pelvis.at(q, "spine")[0]
            field[box] = shapes.intersection(field[box], np.float32(CLEAR_OF_COCCYX_MM) - bone)
        return field

    def penile_bulb(self, p: Points) -> FloatArray:
        """The bulb as contoured: it ends where the anal canal begins."""
        return shapes.intersection(self.floor.bulb(p), np.float32(CLEAR_OF_RECTUM_MM) - self.rectum.tube(p))


def draw_anatomy(
    rng: np.random.Generator, *, effects: Effects, atlas: Path = SHIPPED, bladder_cc: float | None = None
) -> Anatomy:
    """Draw one man; with `bladder_cc` his bladder is that full before its neighbours press on it."""
    bank = load_atlas(atlas)
    number = int(rng.integers(len(bank.landmarks)))
    marks = bank.landmarks[number]
    floor = PelvicFloor.draw(rng, marks)
    rectum = Rectum.draw(rng, marks, floor.bulb_centre[2])
    above_bed = rectum.front_at(marks.symphysis_top + 12)
    bladder = Bladder.draw(rng, marks, above_bed, bowel=effects.bowel)
    if bladder_cc is not None:
        bladder = bladder.filled(bladder_cc, front_y=_belly_wall_y(bank.pelvis(number, mirrored=False)))
    neck = (0.0, marks.symphysis_back + 22.0, bladder.bottom_z)
    return Anatomy(
        atlas=atlas,
        number=number,
        mirrored=bool(rng.random() < 0.5),
        growth=(rng.uniform(-8, 22), max(0.0, rng.uniform(-20, 30))),
        skin_waves=Waves.draw(rng, rms_mm=rng.uniform(0, 5), wavelengths_mm=(150, 400)),
        pose=Pose.draw(rng, rotation=effects.rotation),
        floor=floor,
        bladder=bladder,
        rectum=rectum,
        bed=Bed.draw(rng, marks, neck, rectum_front=above_bed, effects=effects),
        bowel=draw_bowel(rng, marks, min(bladder.dome_z, 70.0)) if effects.bowel else (),
        vessels=Vessels.draw(rng, marks),
        surroundings=Surroundings.draw(rng, effects),
        prosthesis=int(rng.choice([LEFT, RIGHT])) if effects.prosthesis and rng.random() < 0.04 else 0,
    )


def _belly_wall_y(pelvis: Pelvis) -> float:
    """Where the belly's muscles are deepest before the bladder: their inner side in y, near the midline."""
    marks = pelvis.landmarks
    x = np.arange(-24, 25, 8, dtype=np.float32)
    y = np.arange(marks.body_front, marks.symphysis_back, 1, dtype=np.float32)
    z = marks.symphysis_top + np.arange(10, 80, 5, dtype=np.float32)
    muscle = pelvis.at(Points(x[None, None], y[None, :, None], z[:, None, None]), "wall")[0] < 0
    rows = np.flatnonzero(muscle.any((0, 2)))
    return float(y[rows[-1]] if len(rows) else y[0]) + CLEAR_OF_MUSCLE_MM


def _around(
    centre: tuple[float, float, float], reach: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Lower and upper corner (x, y, z mm) of a cube."""
    x, y, z = centre
    return (x - reach, y - reach, z - reach), (x + reach, y + reach, z + reach)
