"""Harder phantoms: each scenario shows what it promises, and changes nothing else about the man."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.phantom.anatomy import LEFT, RIGHT
from models.phantom.appearance import render
from models.phantom.cohort import draw_patient, map_lattice, planning_lattice
from models.phantom.effects import Effects
from models.phantom.lattice import Lattice
from models.phantom.scenario import ORDINARY, SCENARIOS, bladder_cc, scenario
from models.phantom.tissue import Tissue
from models.structures import STRUCTURES

SEED, MATRIX = 41, 96
INDICES = (2, 3, 4)  # thin slices; organs that press hard on the bladder; contrast that has sunk
SPACING_ZYX_MM = (6.0, 4.0, 4.0)
# Case 0 of seed 5: bladder's radii, growth, stretch, urine's CT number, a physician's habit, the scan's first column.
PINNED = (
    *(42.32412115209003, 37.65611469588378, 40.64970548477004),
    *(0.3608895710293609, 2.3561660787186653),
    *(1.0306349637838377, 1.0811494523231584, 1.0190123886271645),
    4.011616152123288,
    4.096656043166768,
    -258.26025881556063,
)


def coarse(patient, index, *, seed=SEED):
    fine = map_lattice(patient, seed, index)
    shape = [
        int(n * step / wide)
        for n, step, wide in zip(fine.shape_zyx, fine.spacing_zyx_mm, SPACING_ZYX_MM, strict=True)
    ]
    return Lattice(shape_zyx=tuple(shape), spacing_zyx_mm=SPACING_ZYX_MM, origin_zyx_mm=fine.origin_zyx_mm)


@cache
def seen(name, index):
    """Patient, tissue map and image of a case, on a coarse lattice."""
    patient, _ = scenario(name).draw(SEED, index, matrix=MATRIX)
    tissue = patient.tissue(coarse(patient, index))
    hu = render(tissue, SPACING_ZYX_MM, patient.appearance, np.random.default_rng(0))
    return patient, tissue, hu


def test_the_ordinary_scenario_is_the_cohort():
    for index in INDICES:
        patient, lattice = ORDINARY.draw(SEED, index, matrix=MATRIX)
        plain = draw_patient(SEED, index, effects=Effects.clinical())
        assert lattice == planning_lattice(plain, SEED, index, matrix=MATRIX)
        assert patient.appearance == plain.appearance
        where = coarse(plain, index)
        assert patient.tissue(where).tobytes() == plain.tissue(where).tobytes()
    truth, expected = (each.truth(where, observers=True) for each in (patient, plain))
    assert list(truth) == list(expected)
    assert all(truth[name].tobytes() == expected[name].tobytes() for name in truth)


def test_a_seed_draws_the_same_men_as_ever():
    """Cohorts are named by their seeds: figures that were measured on one must be measurable again."""
    patient = draw_patient(5, 0, effects=Effects.clinical())
    drawn = [
        *patient.anatomy.bladder.radii,
        *patient.anatomy.growth,
        *patient.anatomy.pose.stretch_xyz,
        patient.appearance.hu[Tissue.URINE],
        patient.physicians[-1].below_anastomosis,
        planning_lattice(patient, 5, 0).origin_zyx_mm[2],
    ]
    assert drawn == pytest.approx(PINNED, rel=1e-9)


@pytest.mark.parametrize("name", [each.name for each in SCENARIOS])
def test_a_scenario_changes_nothing_else_about_the_man(name):
    patient, _ = scenario(name).draw(SEED, 2, matrix=MATRIX)
    plain, _ = ORDINARY.draw(SEED, 2, matrix=MATRIX)
    floor = replace(patient.anatomy.floor, bulb_present=True)
    assert floor == plain.anatomy.floor
    for part in ("number", "mirrored", "growth", "surroundings", "vessels"):
        assert getattr(patient.anatomy, part) == getattr(plain.anatomy, part), part
    assert np.array_equal(patient.anatomy.pose.turn, plain.anatomy.pose.turn)
    assert patient.appearance.seed == plain.appearance.seed
    again, _ = scenario(name).draw(SEED, 2, matrix=MATRIX)
    assert again.anatomy.bladder.radii == patient.anatomy.bladder.radii
    assert again.anatomy.prosthesis == patient.anatomy.prosthesis
    assert again.appearance == patient.appearance


@pytest.mark.parametrize(("name", "hips"), [("prosthesis", 1), ("two-prostheses", 2)])
def test_a_prosthesis_is_metal_with_streaks(name, hips):
    for index in INDICES:
        patient, tissue, hu = seen(name, index)
        lattice = coarse(patient, index)
        metal = tissue == Tissue.PROSTHESIS
        x = lattice.axis_mm(2)[np.nonzero(metal)[2]]
        assert int((x > 40).any()) + int((x < -40).any()) == hips == len(patient.anatomy.metal_hips)
        assert (hu > 2000).sum() * np.prod(SPACING_ZYX_MM) / 1000 > 10 * hips
        plain_patient, plain_tissue, plain = seen("ordinary", index)
        assert not plain_patient.anatomy.metal_hips
        fat = (tissue == Tissue.FAT) & (plain_tissue == Tissue.FAT) & metal.any((1, 2))[:, None, None]
        assert hu[fat].std() > plain[fat].std() + 15


def test_both_sides_have_a_metal_hip_some_time():
    sides = {scenario("prosthesis").draw(SEED, index)[0].anatomy.prosthesis for index in range(8)}
    assert sides == {LEFT, RIGHT}


def test_contrast_fills_the_bladder():
    for index in INDICES:
        patient, tissue, hu = seen("contrast", index)
        assert patient.appearance.layered is None
        middle = coarse(patient, index)
        deep = (patient.truth(middle)["Bladder"] < -8) & (tissue == Tissue.URINE)
        assert np.percentile(hu[deep], 5) > 100
        assert hu[tissue == Tissue.GLUTEAL].mean() < 100


@pytest.mark.parametrize(("name", "least", "most"), [("empty-bladder", 12, 40), ("big-bladder", 650, 920)])
def test_a_bladder_has_the_volume_promised(name, least, most):
    for index in INDICES:
        patient, lattice = scenario(name).draw(SEED, index, matrix=MATRIX)
        field = patient.truth(lattice)["Bladder"]
        in_scan = (field < 0).sum() * np.prod(lattice.spacing_zyx_mm) / 1000
        assert least < in_scan < most
        assert in_scan == pytest.approx(bladder_cc(patient.anatomy), rel=0.08)
        assert not (field[0] < 0).any() and not (field[-1] < 0).any()


def test_a_big_bladder_stays_behind_the_bellys_muscles():
    """This man is so lean that his bladder would not have room enough."""
    patient, _ = scenario("big-bladder").draw(777, 1, matrix=MATRIX)
    lattice = coarse(patient, 1, seed=777)
    tissue, p = patient.tissue(lattice), patient.anatomy.points(lattice)
    urine = (tissue == Tissue.URINE) & (np.abs(p.x) < 25)
    belly = (tissue == Tissue.ABDOMINAL_WALL) & (p.y < patient.anatomy.marks.symphysis_back)
    before = np.flip(np.cumsum(np.flip(belly, 1), 1), 1) > 0
    assert (urine & before).sum() < 0.01 * urine.sum()


def test_thick_slices_are_thick_and_far_apart():
    patient, lattice = scenario("thick-slices").draw(SEED, 2, matrix=MATRIX)
    assert lattice.spacing_zyx_mm[0] == patient.appearance.slice_mm == 5.0
    assert ORDINARY.draw(SEED, 2, matrix=MATRIX)[1].spacing_zyx_mm[0] == 3.0


def test_a_truncated_scan_cuts_the_body_but_no_organ():
    for index in INDICES:
        patient, lattice = scenario("truncated").draw(SEED, index, matrix=MATRIX)
        assert MATRIX * lattice.spacing_zyx_mm[2] < 351
        body = patient.tissue(lattice) != Tissue.AIR
        assert body[:, :, 0].any() and body[:, :, -1].any()
        for name, field in patient.truth(lattice).items():
            inside = field < 0
            assert inside.any() and not inside[:, :, [0, -1]].any() and not inside[:, [0, -1]].any(), name


def test_a_pelvis_without_a_bulb_has_none_in_image_or_truth():
    patient, tissue, _ = seen("no-bulb", 0)
    _, plain, _ = seen("ordinary", 0)
    assert {Tissue.BULB, Tissue.CORPORA} <= set(np.unique(plain))
    assert not np.isin(tissue, [int(Tissue.BULB), int(Tissue.CORPORA)]).any()
    truth = patient.truth(coarse(patient, 0))
    assert set(truth) == {row.name for row in STRUCTURES} - {"PenileBulb"}


def test_an_unknown_scenario_is_a_key_error():
    with pytest.raises(KeyError):
        scenario("unheard-of")
