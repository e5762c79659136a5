"""Phantom patients by seed: each case depends on (seed, index) alone, so any case can be drawn by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom import shapes
from models.phantom.anatomy import LEFT, RIGHT, Anatomy, draw_anatomy
from models.phantom.ct import Tissues, render_ct
from models.phantom.lattice import FloatArray, Lattice
from models.phantom.physician import Physician, draw_physician

TRUTH_WITHIN_YX_MM = ((-90.0, -155.0), (130.0, 155.0))  # corners (y, x); no structure reaches further


@dataclass(frozen=True, kw_only=True)
class PhantomPatient:
    """One phantom: a man, a scan and a physician."""

    anatomy: Anatomy
    tissues: Tissues
    physician: Physician

    def hu(self, lattice: Lattice) -> NDArray[np.int16]:
        """CT numbers in HU at the lattice's points, (z, y, x) int16."""
        return render_ct(self.anatomy, self.tissues, lattice)

    def truth(self, lattice: Lattice) -> dict[str, FloatArray]:
        """Per structure the field of its true surface: negative inside, near it about mm, (z, y, x)."""
        box, part = lattice.within(*TRUTH_WITHIN_YX_MM)
        whole: dict[str, FloatArray] = {}
        for name, field in self._truth_near(part).items():
            whole[name] = np.full(lattice.shape_zyx, shapes.FAR_MM, dtype=np.float32)
            whole[name][box] = field
        return whole

    def _truth_near(self, lattice: Lattice) -> dict[str, FloatArray]:
        p = self.anatomy.warp.points(lattice)
        return {
            "CTV": self.physician.ctv(self.anatomy, p, where=lattice.points()),
            "Bladder": self.anatomy.bladder(p),
            "Rectum": self.anatomy.rectum(p),
            "Femur_Head_L": self.anatomy.femoral_head(p, LEFT),
            "Femur_Head_R": self.anatomy.femoral_head(p, RIGHT),
            "PenileBulb": self.anatomy.penile_bulb(p),
        }


def draw_patient(seed: int, index: int) -> PhantomPatient:
    """Draw case `index` of the cohort with this seed."""
    streams = [np.random.default_rng([seed, index, part]) for part in range(3)]
    return PhantomPatient(
        anatomy=draw_anatomy(streams[0]),
        tissues=Tissues.draw(streams[1]),
        physician=draw_physician(streams[2]),
    )


def planning_lattice(patient: PhantomPatient, seed: int, index: int, *, matrix: int = 512) -> Lattice:
    """The scan a clinic would make of this phantom: 3 mm slices from below the bulb to above the bladder.

    Field of view 450 to 560 mm over `matrix` pixels.
    """
    rng = np.random.default_rng([seed, index, 7])
    low = patient.anatomy.bulb_centre[2] - rng.uniform(35, 60)
    dome = patient.anatomy.bladder_centre[2] + patient.anatomy.bladder_radii[2]
    high = max(dome + rng.uniform(15, 45), patient.anatomy.rectum_high + 25)
    pixel = rng.uniform(450, 560) / matrix
    slices = int(np.ceil((high - low) / 3.0))
    shift_x, shift_y = rng.normal(0, 8, 2)
    return Lattice(
        shape_zyx=(slices, matrix, matrix),
        spacing_zyx_mm=(3.0, pixel, pixel),
        origin_zyx_mm=(
            low,
            patient.anatomy.body_centre_y + shift_y - pixel * (matrix - 1) / 2,
            shift_x - pixel * (matrix - 1) / 2,
        ),
    )
