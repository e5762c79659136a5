"""A result that could not be a man's pelvis is refused; what is merely unusual is said."""

from dataclasses import replace

import numpy as np
import pytest

from worker.errors import ResultImplausible
from worker.plausibility import check_result

BALLS = {  # centre LPS mm, radius mm, CT number
    "CTV": ((0, 15, -10), 26, 40),
    "Bladder": ((0, -20, 20), 30, 5),
    "Rectum": ((0, 50, 0), 20, 0),
    "Femur_Head_L": ((90, 0, 0), 23, 300),
    "Femur_Head_R": ((-90, 0, 0), 23, 300),
    "PenileBulb": ((0, 10, -60), 10, 50),
}
UP, DOWN = (1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, 1, 0, 0, 0, -1)  # head first, feet first


@pytest.fixture(scope="module")
def make(draw, bare_series):
    """A result of balls, some of them elsewhere or of another CT number."""

    def build(moved=None, hu=None, sizes=None, slices=60, direction=UP):
        grid = draw.grid((70, 50, slices), (4.0, 4.0, 3.0), direction=tuple(float(d) for d in direction))
        image, structures = np.full(grid.shape_zyx, -100, np.int16), []
        for name, (centre, radius, inside) in BALLS.items():
            centre = np.add(centre, (moved or {}).get(name, (0, 0, 0)))
            one = draw.structure(name, grid, centre, (sizes or {}).get(name, radius))
            image[one.mean >= one.level] = (hu or {}).get(name, inside)
            structures.append(one)
        return draw.result(replace(bare_series(grid), hu=image), structures=tuple(structures))

    return build


def findings(result):
    return {(f.code, f.message.removeprefix("The ").split()[0]) for f in check_result(result)}


def test_a_usual_pelvis_has_no_findings(make):
    assert findings(make()) == set()


@pytest.mark.parametrize(
    ("name", "by"),
    [("CTV", (0, 60, 0)), ("Bladder", (60, 0, 0)), ("Rectum", (0, -50, 0)), ("PenileBulb", (0, 0, 45))],
)
def test_a_structure_at_an_unusual_place_is_named(make, name, by):
    assert ("unusual-place", name) in findings(make(moved={name: by}))


def test_places_are_measured_in_the_patient_and_not_in_the_image(make):
    assert findings(make(direction=DOWN)) == set()


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_anatomy_whose_head_and_feet_are_exchanged_is_noticed(make, direction):
    exchanged = {"CTV": (0, 0, 20), "Bladder": (0, 0, -40), "PenileBulb": (0, 0, 120)}
    found = findings(make(moved=exchanged, direction=direction))
    assert {("upside-down", "Bladder"), ("upside-down", "CTV")} <= found


@pytest.mark.parametrize("name", ["Bladder", "PenileBulb"])
def test_what_was_not_found_is_not_taken_for_upside_down(make, name):
    result = make(moved={"CTV": (0, 0, 55 if name == "Bladder" else -60)})
    left = tuple(s for s in result.structures if s.name not in {"Bladder", "PenileBulb"} - {name})
    assert "upside-down" in {f.code for f in check_result(replace(result, structures=left))}
    none = tuple(s for s in left if s.name != name)
    assert "upside-down" not in {f.code for f in check_result(replace(result, structures=none))}


def test_a_bladder_that_lies_low_is_not_taken_for_upside_down(make):
    assert "upside-down" not in {f.code for f in check_result(make(moved={"Bladder": (0, 0, -42)}))}


def test_contrast_in_the_bladder_is_a_finding_of_its_own(make):
    assert findings(make(hu={"Bladder": 250})) == {("bladder-contrast", "Bladder")}


@pytest.mark.parametrize(
    ("name", "hu"), [("CTV", -110), ("Femur_Head_L", 30), ("Femur_Head_R", 2000), ("Rectum", 400)]
)
def test_ct_numbers_that_a_structure_does_not_have_are_named(make, name, hu):
    assert findings(make(hu={name: hu})) == {("unusual-hu", name)}


def test_a_tiny_structure_is_named(make):
    assert ("unusual-volume", "Bladder") in findings(make(sizes={"Bladder": 10}))


def test_a_nearly_empty_bladder_is_named_and_a_filled_one_is_not(make):
    assert findings(make(sizes={"Bladder": 23})) == {("nearly-empty-bladder", "Bladder")}  # 51 cc
    assert findings(make(sizes={"Bladder": 26})) == set()  # 74 cc


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize(("slices", "cut"), [(60, set()), (40, {"PenileBulb"})])
def test_a_structure_that_the_scan_cuts_is_named_with_the_end(make, direction, slices, cut):
    found = check_result(make(slices=slices, direction=direction))
    assert {f.message.split()[0] for f in found if f.code == "cut-off-by-scan"} == cut
    assert all("lower end" in f.message for f in found if f.code == "cut-off-by-scan")


def test_femoral_heads_on_the_wrong_sides_are_never_written(make):
    swapped = make(moved={"Femur_Head_L": (-180, 0, 0), "Femur_Head_R": (180, 0, 0)})
    with pytest.raises(ResultImplausible, match="wrong sides"):
        check_result(swapped)
