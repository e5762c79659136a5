"""Phantoms: anatomy is a man's, neighbours don't overlap, the CTV keeps the rule's borders, the image knows no CTV."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.phantom.atlas import GROUPS, load_atlas
from models.phantom.cohort import draw_patient, map_lattice
from models.phantom.effects import Effects
from models.phantom.lattice import Lattice, Points
from models.phantom.physician import OBSERVERS, Ground
from models.phantom.shapes import capsule, ellipsoid
from models.phantom.tissue import Tissue
from models.structures import ORGANS, STRUCTURES

SEED, CASES = 99, 5


def coarse(patient, index, *, step=2):
    fine = map_lattice(patient, SEED, index)
    z, y, x = fine.shape_zyx
    dz, dy, dx = fine.spacing_zyx_mm
    return Lattice(
        shape_zyx=(z, y // step, x // step),
        spacing_zyx_mm=(dz, dy * step, dx * step),
        origin_zyx_mm=fine.origin_zyx_mm,
    )


@pytest.fixture(scope="module")
def cohort():
    """Per case: patient, lattice, tissue map, truth with observers."""
    drawn = []
    for index in range(CASES):
        patient = draw_patient(SEED, index)
        lattice = coarse(patient, index)
        drawn.append((patient, lattice, patient.tissue(lattice), patient.truth(lattice, observers=True)))
    return drawn


def centre_of(mask, lattice):
    return np.argwhere(mask).mean(0) * lattice.spacing_zyx_mm + lattice.origin_zyx_mm


def volume_cc(field, lattice):
    return float((field < 0).sum() * np.prod(lattice.spacing_zyx_mm) / 1000)


def test_the_same_case_is_the_same_and_another_is_not(cohort):
    patient, lattice, tissue, _ = cohort[0]
    assert draw_patient(SEED, 0).tissue(lattice).tobytes() == tissue.tobytes()
    assert draw_patient(SEED, 1).anatomy != patient.anatomy


def test_left_is_left(cohort):
    """The anatomy's left femoral head lies at positive x (LPS), in pelves that were mirrored too."""
    assert {patient.anatomy.mirrored for patient, *_ in cohort} == {True, False}
    for _, lattice, _, truth in cohort:
        assert centre_of(truth["Femur_Head_L"] < 0, lattice)[2] > 45
        assert centre_of(truth["Femur_Head_R"] < 0, lattice)[2] < -45


def test_organs_lie_as_in_a_man(cohort):
    for _, lattice, _, truth in cohort:
        at = {s.name: centre_of(truth[s.name] < 0, lattice) for s in STRUCTURES}
        assert at["Bladder"][1] < at["Rectum"][1] and at["CTV"][1] < at["Rectum"][1]  # front to back
        assert at["PenileBulb"][0] < at["CTV"][0] < at["Bladder"][0] + 30  # foot to head


def test_neighbouring_organs_do_not_overlap(cohort):
    for _, _, _, truth in cohort:
        for first in ORGANS:
            for second in ORGANS:
                if first.name < second.name:
                    both = (truth[first.name] < -1) & (truth[second.name] < -1)
                    assert not both.any(), (first.name, second.name)


def test_organs_are_made_of_their_tissues(cohort):
    within = {
        "Bladder": {Tissue.URINE, Tissue.BLADDER_WALL, Tissue.CATHETER},
        "Rectum": {Tissue.RECTAL_WALL, Tissue.STOOL, Tissue.RECTAL_GAS},
        "PenileBulb": {Tissue.BULB},
        "Femur_Head_L": {Tissue.CORTEX, Tissue.FEMUR_MARROW, Tissue.PROSTHESIS},
        "Femur_Head_R": {Tissue.CORTEX, Tissue.FEMUR_MARROW, Tissue.PROSTHESIS},
    }
    for _, _, tissue, truth in cohort:
        for name, tissues in within.items():
            inside = tissue[truth[name] < -1.5]
            assert np.isin(inside, [int(t) for t in tissues]).mean() > 0.95, name


def test_volumes_are_a_mans(cohort):
    ranges = {"Bladder": (30, 750), "Rectum": (20, 320), "CTV": (50, 260), "PenileBulb": (0.9, 9)}
    for _, lattice, _, truth in cohort:
        for name, (low, high) in ranges.items():
            assert low < volume_cc(truth[name], lattice) < high, name
        for name in ("Femur_Head_L", "Femur_Head_R"):
            assert 20 < volume_cc(truth[name], lattice) < 110


def test_a_bladder_is_as_full_as_it_is_drawn(cohort):
    cc = [volume_cc(truth["Bladder"], lattice) for _, lattice, _, truth in cohort]
    asked = [4.18879e-3 * np.prod(patient.anatomy.bladder.radii) for patient, *_ in cohort]
    assert np.corrcoef(cc, asked)[0, 1] > 0.95
    assert all(0.5 < got / wanted < 1.25 for got, wanted in zip(cc, asked, strict=True))


def test_the_ctv_keeps_the_rules_borders(cohort):
    for patient, lattice, tissue, truth in cohort:
        ctv, rectum = truth["CTV"] < 0, truth["Rectum"] < 0
        assert (ctv & rectum).sum() < 0.02 * ctv.sum()
        assert (ctv & np.isin(tissue, [int(Tissue.CORTEX), int(Tissue.MARROW)])).sum() < 0.005 * ctv.sum()
        assert not (ctv & (truth["PenileBulb"] < -1)).any() or centre_of(ctv, lattice)[0] > 0
        z = patient.anatomy.points(lattice).z[ctv]
        marks, neck = patient.anatomy.marks, patient.anatomy.bladder.bottom_z
        assert 2 < neck - z.min() < 20  # below the anastomosis
        assert 20 < z.max() - marks.symphysis_top < 50


def test_observers_differ_where_the_image_does_not_tell(cohort):
    """At the lower and upper end by several mm, at the rectum by little."""
    ends, rectal = [], []
    for _, lattice, _, truth in cohort:
        drawn = [truth[f"CTV_obs{n}"] for n in range(1, OBSERVERS + 1)]
        heights = [np.flatnonzero((f < 0).any((1, 2))) * lattice.spacing_zyx_mm[0] for f in drawn]
        ends += [np.std([h[0] for h in heights], ddof=1), np.std([h[-1] for h in heights], ddof=1)]
        near = np.abs(truth["Rectum"]) < 1.5
        middle = np.abs(truth["CTV"]) < 3
        values = np.array([f[near & middle] for f in drawn])
        if values.size:
            rectal.append(values.std(0, ddof=1).mean())
        assert all(0.6 < dice(truth["CTV"] < 0, f < 0) < 0.99 for f in drawn)
    assert 3.0 < np.mean(ends) < 8.0
    assert np.mean(rectal) < 2.5


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_ctv_is_not_drawn_into_the_image(cohort):
    """Other physicians, the same picture."""
    patient, lattice, tissue, truth = cohort[0]
    other = replace(patient, physicians=draw_patient(SEED, 5).physicians)
    assert other.tissue(lattice).tobytes() == tissue.tobytes()
    assert ((other.truth(lattice)["CTV"] < 0) != (truth["CTV"] < 0)).any()


def test_an_effect_left_out_never_occurs():
    for index in range(6):
        bare = draw_patient(SEED, index, effects=Effects.none()).anatomy
        assert not bare.bowel and not bare.bed.clips and bare.prosthesis == 0
        assert not bare.surroundings.couch and not bare.surroundings.arms
        assert np.allclose(bare.pose.turn, np.eye(3))


@pytest.mark.parametrize("number", range(4))
def test_the_atlas_holds_pelves(number):
    """Heads are bone, the midline between them is not; a mirrored pelvis is the same from the other side."""
    pelvis = load_atlas().pelvis(number)
    x = pelvis.landmarks.head_x
    at = Points(*(np.float32([[v]]) for v in ([[x, -x, 0.0]], [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])))
    at = Points(*(a.reshape(1, 1, 3) for a in (at.x, at.y, at.z)))
    femur = pelvis.at(at, "femur")[0].ravel()
    assert femur[0] < -10 and femur[1] < -10 and femur[2] > 10
    mirrored = load_atlas().pelvis(number, mirrored=True)
    left = np.float32([[[40.0, 70.0, 100.0]]])
    there = Points(left, np.full_like(left, 5), np.full_like(left, 20))
    back = Points(-left, np.full_like(left, 5), np.full_like(left, 20))
    for one, other in zip(pelvis.at(there, *GROUPS), mirrored.at(back, *GROUPS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_mean_of_equal_observers_is_that_observer():
    patient = draw_patient(SEED, 2)
    lattice = coarse(patient, 2, step=4)
    alike = replace(patient, physicians=(patient.physicians[0],) * 3)
    ground = Ground.of(patient.anatomy, patient.anatomy.points(lattice), lattice.points())
    one = patient.physicians[0].ctv(ground) < 0
    assert ((alike.truth(lattice)["CTV"] < 0) == one).mean() > 0.9999


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*(st.floats(-40, 40) for _ in range(3))),
    st.tuples(*(st.floats(1.0, 4.0) for _ in range(3))),
)
def test_carrying_a_plane_keeps_it(slope, spacing):
    """A linear field is carried exactly, whatever the two lattices."""
    source = Lattice(shape_zyx=(9, 10, 11), spacing_zyx_mm=(2, 3, 2.5), origin_zyx_mm=(-8, -13, -12))
    target = Lattice(shape_zyx=(4, 4, 4), spacing_zyx_mm=spacing, origin_zyx_mm=(-7, -11, -10))

    def plane(lattice):
        p = lattice.points()
        return np.asarray(slope[0] * p.z + slope[1] * p.y + slope[2] * p.x, np.float32)

    np.testing.assert_allclose(
        source.carry(plane(source), target, outside=0.0), plane(target), rtol=1e-4, atol=0.02
    )


def test_fields_of_simple_shapes_are_distances():
    p = Points(*(np.float32([[[v]]]) for v in (30.0, 0.0, 0.0)))
    assert float(ellipsoid(p, (0, 0, 0), (20, 20, 20)).squeeze()) == pytest.approx(10, abs=1e-3)
    assert float(capsule(p, (0, 0, -5), (0, 0, 5), 20).squeeze()) == pytest.approx(10, abs=1e-3)
    assert float(capsule(p, (0, 0, 0), (0, 0, 0), 20).squeeze()) == pytest.approx(10, abs=1e-3)
