import numpy as np
import pytest

from models.phantom.cohort import draw_patient, planning_lattice
from models.phantom.lattice import Lattice, Points
from models.phantom.shapes import capsule, ellipsoid
from models.structures import STRUCTURES

SEED = 99


@pytest.fixture(scope="module")
def coarse():
    patient = draw_patient(SEED, 0)
    z, *_ = planning_lattice(patient, SEED, 0).origin_zyx_mm
    lattice = Lattice(shape_zyx=(60, 100, 140), spacing_zyx_mm=(3, 3, 3), origin_zyx_mm=(z, -140, -208.5))
    return patient, lattice, patient.hu(lattice), patient.truth(lattice)


def centre_of(mask, lattice):
    index = np.argwhere(mask).mean(0)
    return index * lattice.spacing_zyx_mm + lattice.origin_zyx_mm


def test_the_same_case_is_the_same_bytes_and_another_is_not(coarse):
    patient, lattice, hu, _ = coarse
    assert draw_patient(SEED, 0).hu(lattice).tobytes() == hu.tobytes()
    assert draw_patient(SEED, 1).hu(lattice).tobytes() != hu.tobytes()


def test_left_is_left(coarse):
    """The anatomy's left femoral head lies at positive x (LPS)."""
    _, lattice, _, truth = coarse
    assert centre_of(truth["Femur_Head_L"] < 0, lattice)[2] > 50
    assert centre_of(truth["Femur_Head_R"] < 0, lattice)[2] < -50


def test_organs_lie_as_in_a_man(coarse):
    _, lattice, _, truth = coarse
    at = {s.name: centre_of(truth[s.name] < 0, lattice) for s in STRUCTURES}
    assert at["Bladder"][1] < at["CTV"][1] < at["Rectum"][1]  # front to back
    assert at["PenileBulb"][0] < at["CTV"][0] < at["Bladder"][0] + 25  # foot to head


def test_ct_numbers_are_those_of_the_tissues(coarse):
    patient, _, hu, truth = coarse
    inside = hu[truth["Bladder"] < -8]
    assert np.median(inside) == pytest.approx(patient.tissues.urine, abs=10)
    assert np.median(hu[truth["Femur_Head_L"] < -5]) > 100
    assert np.median(hu[:, :4]) < -950


def test_the_ctv_is_not_drawn_into_the_image(coarse):
    """Another physician, the same picture."""
    patient, lattice, hu, truth = coarse
    other = type(patient)(
        anatomy=patient.anatomy, tissues=patient.tissues, physician=draw_patient(SEED, 5).physician
    )
    assert other.hu(lattice).tobytes() == hu.tobytes()
    assert ((other.truth(lattice)["CTV"] < 0) != (truth["CTV"] < 0)).any()


def test_the_ctv_keeps_out_of_the_rectum(coarse):
    _, _, _, truth = coarse
    ctv = truth["CTV"] < 0
    assert (ctv & (truth["Rectum"] < -3)).sum() < 0.02 * ctv.sum()


def test_volumes_are_within_a_mans_range():
    for index in range(4):
        patient = draw_patient(SEED, index)
        low = planning_lattice(patient, SEED, index).origin_zyx_mm[0]
        lattice = Lattice(shape_zyx=(50, 90, 100), spacing_zyx_mm=(5, 3, 3), origin_zyx_mm=(low, -130, -150))
        cc = {name: float((f < 0).sum()) * 0.045 for name, f in patient.truth(lattice).items()}
        assert 40 < cc["Bladder"] < 700 and 40 < cc["CTV"] < 260 and 1.5 < cc["PenileBulb"] < 9


def test_fields_of_simple_shapes_are_distances():
    p = Points(*(np.float32([[[v]]]) for v in (30.0, 0.0, 0.0)))
    assert float(ellipsoid(p, (0, 0, 0), (20, 20, 20)).squeeze()) == pytest.approx(10, abs=1e-3)
    assert float(capsule(p, (0, 0, -5), (0, 0, 5), 20).squeeze()) == pytest.approx(10, abs=1e-3)
