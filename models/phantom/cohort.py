"""Phantom patients by seed: each case depends on (seed, index) alone, so any case can be drawn by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.phantom.anatomy import LEFT, RIGHT, Anatomy, draw_anatomy
from models.phantom.appearance import Appearance, add_noise, render
from models.phantom.atlas import SHIPPED
from models.phantom.effects import Effects
from models.phantom.lattice import FloatArray, Lattice
from models.phantom.physician import Ground, Physician, draw_physicians, mean_ctv
from models.phantom.shapes import FAR_MM
from models.phantom.tissue_map import paint

EVERYTHING = Effects()
AIR_HU = -1000.0
MAP_SPACING_ZYX_MM = (2.0, 1.5, 1.5)
REACH_MM = 90.0  # no organ is further than this from where it is expected


@dataclass(frozen=True, kw_only=True)
class PhantomPatient:
    """One phantom: a man, the look of his scan, and the physicians who saw it."""

    anatomy: Anatomy
    appearance: Appearance
    physicians: tuple[Physician, ...]

    def tissue(self, lattice: Lattice) -> NDArray[np.uint8]:
        """Tissue codes at the lattice's points, (z, y, x)."""
        return paint(self.anatomy, lattice)

    def truth(self, lattice: Lattice, *, observers: bool = False) -> dict[str, FloatArray]:
        """Per structure the field of its true surface: negative inside, near it about mm, (z, y, x).

        A pelvis without a penile bulb has no field of one.
        The CTV's is the mean observer's; with `observers` each one's own comes as `CTV_obs1` and so on.
        """
        part, box = self._near_organs(lattice)
        whole: dict[str, FloatArray] = {}
        for name, field in self._truth_near(part, observers=observers).items():
            whole[name] = np.full(lattice.shape_zyx, FAR_MM, dtype=np.float32)
            whole[name][box] = field
        return whole

    def _near_organs(self, lattice: Lattice) -> tuple[Lattice, tuple[slice, slice, slice]]:
        marks = self.anatomy.marks
        y = self.anatomy.pose.to_scanner((0, 10, 0))[1]
        box, part = lattice.within(
            (y - REACH_MM - 30, -marks.head_x - 60), (y + REACH_MM + 10, marks.head_x + 60)
        )
        return part, box

    def _truth_near(self, lattice: Lattice, *, observers: bool) -> dict[str, FloatArray]:
        anatomy, p = self.anatomy, self.anatomy.points(lattice)
        ground = Ground.of(anatomy, p, lattice.points())
        drawn = [physician.ctv(ground) for physician in self.physicians]
        truth = {
            "CTV": mean_ctv(drawn),
            "Bladder": anatomy.bladder_wall(p),
            "Rectum": anatomy.rectal_wall(p),
            "Femur_Head_L": anatomy.femoral_head(p, LEFT),
            "Femur_Head_R": anatomy.femoral_head(p, RIGHT),
        }
        if anatomy.floor.bulb_present:
            truth["PenileBulb"] = anatomy.penile_bulb(p)
        if observers:
            truth |= {f"CTV_obs{number}": field for number, field in enumerate(drawn, start=1)}
        return truth


def draw_patient(
    seed: int,
    index: int,
    *,
    effects: Effects = EVERYTHING,
    atlas: Path = SHIPPED,
    bladder_cc: float | None = None,
) -> PhantomPatient:
    """Draw case `index` of the cohort with this seed; `bladder_cc` is how full the bladder is, drawn without it."""
    streams = [np.random.default_rng([seed, index, part]) for part in range(3)]
    return PhantomPatient(
        anatomy=draw_anatomy(streams[0], effects=effects, atlas=atlas, bladder_cc=bladder_cc),
        appearance=Appearance.draw(streams[1], effects=effects),
        physicians=draw_physicians(streams[2]),
    )


def map_lattice(patient: PhantomPatient, seed: int, index: int) -> Lattice:
    """Where the tissue map of a case is drawn: the body's width, from below the bulb to above the bladder, or further.

    One scan in three reaches far into the abdomen, as a planning CT with nodes does.
    """
    rng = np.random.default_rng([seed, index, 8])
    anatomy = patient.anatomy
    marks, stretch = anatomy.marks, anatomy.pose.stretch_xyz
    low = anatomy.floor.bulb_centre[2] - rng.uniform(25, 75)
    dome = min(anatomy.bladder.dome_z, 130.0)
    high = max(dome, anatomy.rectum.high + 10) + rng.uniform(10, 45)
    if rng.random() < 0.3:
        high = rng.uniform(max(high, 150), 228)
    grown = anatomy.growth[0] + anatomy.growth[1] + 25
    front, back = marks.body_front - grown - 15, marks.body_back + anatomy.growth[0] + 45
    half = marks.body_half_width + anatomy.growth[0] + 35
    dz, dy, dx = MAP_SPACING_ZYX_MM
    spans = [(high - low) * stretch[2], (back - front) * stretch[1], 2 * half * stretch[0]]
    middle = anatomy.pose.to_scanner((0.0, (front + back) / 2, (low + high) / 2))
    shape = [int(np.ceil(span / d)) for span, d in zip(spans, MAP_SPACING_ZYX_MM, strict=True)]
    origin = [float(m - (n - 1) / 2 * d) for m, n, d in zip(middle[::-1], shape, (dz, dy, dx), strict=True)]
    return Lattice(
        shape_zyx=(shape[0], shape[1], shape[2]),
        spacing_zyx_mm=MAP_SPACING_ZYX_MM,
        origin_zyx_mm=(origin[0], origin[1], origin[2]),
    )


def planning_lattice(
    patient: PhantomPatient,
    seed: int,
    index: int,
    *,
    matrix: int = 512,
    slice_mm: float = 3.0,
    field_of_view_mm: float | None = None,
) -> Lattice:
    """The scan a clinic would make of this phantom: field of view 480 to 600 mm over `matrix` pixels, or as given."""
    rng = np.random.default_rng([seed, index, 7])
    whole = map_lattice(patient, seed, index)
    drawn_mm = rng.uniform(480, 600)
    pixel = (drawn_mm if field_of_view_mm is None else field_of_view_mm) / matrix
    slices = int(whole.extent_mm(0) / slice_mm)
    shift = rng.normal(0, 8, 2)
    y, x = (
        whole.middle_mm(axis) + s - pixel * (matrix - 1) / 2 for axis, s in zip((1, 2), shift, strict=True)
    )
    return Lattice(
        shape_zyx=(slices, matrix, matrix),
        spacing_zyx_mm=(slice_mm, pixel, pixel),
        origin_zyx_mm=(whole.origin_zyx_mm[0], float(y), float(x)),
    )


def scan(patient: PhantomPatient, seed: int, index: int, lattice: Lattice) -> NDArray[np.int16]:
    """The CT of a phantom in HU, (z, y, x) int16: its tissue map rendered, carried to the scan's lattice, with noise.

    Cost: about 8 s for 66 slices of 512², one core.
    """
    rng = np.random.default_rng([seed, index, 9])
    whole = map_lattice(patient, seed, index)
    rendered = render(patient.tissue(whole), whole.spacing_zyx_mm, patient.appearance, rng)
    hu = whole.carry(rendered, lattice, outside=AIR_HU)
    noisy = add_noise(hu, lattice.spacing_zyx_mm, patient.appearance, rng)
    return np.asarray(np.clip(np.round(noisy), -1024, 3071), dtype=np.int16)
