"""Harder phantoms, as data: what a scan may hold that the training cohort seldom or never did.

A scenario changes one thing. All else of case `index` of a seed stays as `draw_patient` draws it, so that a scenario's
cases can be set beside the ordinary ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.phantom.anatomy import BOTH, LEFT, RIGHT, Anatomy
from models.phantom.appearance import Appearance
from models.phantom.cohort import PhantomPatient, draw_patient, planning_lattice
from models.phantom.effects import Effects
from models.phantom.lattice import Lattice
from models.phantom.tissue import Tissue

Range = tuple[float, float]
STREAM = 10  # of a scenario's own draws; the cohort's are 0 to 9
HIP_STREAKS_HU = (60.0, 140.0)  # spread 40 mm from a metal hip; the cohort's: 10 to 100
MEASURING_MM = 3.0
FREE_SHARE = (0.7, 10.0)  # of the volume asked for: what a bladder may need before its neighbours press on it
FILLINGS = 10  # how often it is filled anew to come near
NEAR_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One kind of harder case. Ranges are drawn from uniformly; None leaves a thing as it is drawn without.

    Attributes:
        name: as the command line calls it.
        what: one line for people.
        metal_hips: how many, 1 or 2; 0 leaves it to the cohort, where they are rare.
        bladder_cc: volume of the true bladder, where its neighbours have pressed on it.
        urine_hu: CT number all over the bladder.
        slice_mm: distance of the slices; where it is not the cohort's 3 mm, their thickness too.
        field_of_view_mm: width of the reconstructed image.
        bulb: False: no penile bulb, no corpora, no testes.
    """

    name: str
    what: str
    metal_hips: int = 0
    bladder_cc: Range | None = None
    urine_hu: Range | None = None
    slice_mm: float | None = None
    field_of_view_mm: Range | None = None
    bulb: bool = True

    def draw(self, seed: int, index: int, *, matrix: int = 512) -> tuple[PhantomPatient, Lattice]:
        """Case `index` of a seed in this scenario: the patient, and the lattice of his scan (`matrix` pixels wide)."""
        rng = np.random.default_rng([seed, index, STREAM])
        patient = self._patient(seed, index, rng)
        patient = replace(
            patient,
            anatomy=self._anatomy(patient.anatomy, rng),
            appearance=self._appearance(patient.appearance, rng),
        )
        lattice = planning_lattice(
            patient,
            seed,
            index,
            matrix=matrix,
            slice_mm=self.slice_mm or 3.0,
            field_of_view_mm=rng.uniform(*self.field_of_view_mm) if self.field_of_view_mm else None,
        )
        return patient, lattice

    def _patient(self, seed: int, index: int, rng: np.random.Generator) -> PhantomPatient:
        """The cohort's, with a bladder of the volume asked for."""
        effects = Effects.clinical()
        if self.bladder_cc is None:
            return draw_patient(seed, index, effects=effects)
        wanted = rng.uniform(*self.bladder_cc)
        low, high = (wanted * share for share in FREE_SHARE)
        free_cc = wanted
        for _ in range(FILLINGS):
            patient = draw_patient(seed, index, effects=effects, bladder_cc=free_cc)
            share = bladder_cc(patient.anatomy) / wanted
            if abs(share - 1) < NEAR_SHARE:
                break
            low, high = (free_cc, high) if share < 1 else (low, free_cc)
            free_cc = float(np.sqrt(low * high))
        return patient

    def _anatomy(self, anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
        sides = {0: anatomy.prosthesis, 1: int(rng.choice([LEFT, RIGHT])), 2: BOTH}
        return replace(
            anatomy,
            prosthesis=sides[self.metal_hips],
            floor=anatomy.floor if self.bulb else replace(anatomy.floor, bulb_present=False),
        )

    def _appearance(self, look: Appearance, rng: np.random.Generator) -> Appearance:
        if self.metal_hips and look.streaks is not None:
            look = replace(look, streaks=replace(look.streaks, prosthesis_hu=rng.uniform(*HIP_STREAKS_HU)))
        if self.urine_hu is not None:
            numbers = list(look.hu)
            numbers[Tissue.URINE] = rng.uniform(*self.urine_hu)
            look = replace(look, hu=tuple(numbers), layered=None)
        return look if self.slice_mm is None else replace(look, slice_mm=self.slice_mm)


def bladder_cc(anatomy: Anatomy) -> float:
    """Volume of the true bladder, also where a scan would not reach."""
    bladder = anatomy.bladder
    reach = (15 + 1.5 * max(bladder.radii)) * max(anatomy.pose.stretch_xyz)
    points = int(2 * reach / MEASURING_MM) + 1
    x, y, z = anatomy.pose.to_scanner(bladder.centre)
    around = Lattice(
        shape_zyx=(points, points, points),
        spacing_zyx_mm=(MEASURING_MM,) * 3,
        origin_zyx_mm=(float(z) - reach, float(y) - reach, float(x) - reach),
    )
    inside = anatomy.bladder_wall(anatomy.points(around)) < 0
    return float(inside.sum() * MEASURING_MM**3 / 1000)


ORDINARY = Scenario(name="ordinary", what="The cohort as it is: the same patients without any of the below.")
SCENARIOS: tuple[Scenario, ...] = (
    ORDINARY,
    Scenario(
        name="prosthesis",
        what="A metal hip, with streaks as of a scanner that corrects little.",
        metal_hips=1,
    ),
    Scenario(name="two-prostheses", what="Metal hips on both sides.", metal_hips=2),
    Scenario(name="contrast", what="A bladder full of contrast medium.", urine_hu=(200.0, 1200.0)),
    Scenario(name="empty-bladder", what="A bladder of 15 to 38 cc.", bladder_cc=(15.0, 38.0)),
    Scenario(name="big-bladder", what="A bladder of 670 to 900 cc.", bladder_cc=(670.0, 900.0)),
    Scenario(name="thick-slices", what="Slices 5 mm thick and 5 mm apart.", slice_mm=5.0),
    Scenario(
        name="truncated",
        what="A reconstructed field of view of 310 to 350 mm, which cuts the body on both sides.",
        field_of_view_mm=(310.0, 350.0),
    ),
    Scenario(
        name="no-bulb",
        what="A pelvis without penile bulb and corpora: the stand-in for a woman's, and no more than that.",
        bulb=False,
    ),
)


def scenario(name: str) -> Scenario:
    """The scenario of this name; raises `KeyError`."""
    for each in SCENARIOS:
        if each.name == name:
            return each
    raise KeyError(name)
