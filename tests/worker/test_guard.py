"""Only a pelvis passes; lesser doubts are noted."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.errors import LossyImages, NoPelvis, ShiftedCTNumbers, TooFewSlices
from worker.finding import Finding
from worker.guard import check_series

POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "HFP": (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    "FFS": (-1, 0, 0, 0, 1, 0, 0, 0, -1),
    "HFDL": (0, -1, 0, 1, 0, 0, 0, 0, 1),
}
COARSE = {"coarse-pixels"}  # most grids of these tests are


def codes_of(findings):
    return {finding.code for finding in findings}


@pytest.fixture
def series_of(bare_series):
    """A series that shows given CT numbers (z, y, x)."""

    def make(hu, grid, **attributes):
        header = Dataset()
        for keyword, value in attributes.items():
            setattr(header, keyword, value)
        shown = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
        return replace(bare_series(grid), hu=shown, headers=(header,) * len(hu))

    return make


@pytest.fixture(scope="module")
def pelvis_grid(draw):
    return draw.grid((120, 90, 60), (4.0, 4.0, 3.0))


@pytest.mark.parametrize("position", POSITIONS)
def test_a_male_pelvis_passes_in_every_position(draw, series_of, position):
    grid = draw.grid((120, 120, 60), (4.0, 4.0, 3.0), direction=POSITIONS[position])
    assert codes_of(check_series(series_of(draw.pelvis(grid), grid))) == COARSE


@pytest.mark.parametrize("case", ["001", "002", "004", "005"])
def test_real_anatomies_pass_even_with_porous_bones(draw, series_of, shared_data, case):
    """Hand-drawn labels of real pelves, given CT numbers: fat, muscle, bones of which only the rim is dense."""
    image = sitk.ReadImage(str(shared_data / "pelvis-labels" / f"pelvic-ref-{case}.nii.gz"))
    labels = sitk.GetArrayFromImage(image)[:, ::2, ::2]
    bone = (labels > 0) & (labels <= 4)
    marrow = ndimage.binary_erosion(bone, np.ones((1, 3, 3)))
    hu = np.select([marrow, bone, labels == 29, labels > 0], [110.0, 450.0, -100.0, 50.0], -1000.0)
    hu += np.random.default_rng(0).normal(0, 15, hu.shape)
    size_zyx, (x_mm, y_mm, z_mm) = labels.shape, image.GetSpacing()
    grid = draw.grid(size_zyx[::-1], (2 * x_mm, 2 * y_mm, z_mm), origin_mm=image.GetOrigin())
    assert codes_of(check_series(series_of(hu, grid))) == COARSE
    mirrored = check_series(series_of(hu[:, ::-1], grid))
    assert codes_of(mirrored) == COARSE | {"orientation-doubt"}
    exchanged = check_series(series_of(hu[::-1], grid))
    assert any("at the feet's end" in f.message for f in exchanged)


def test_a_pelvis_on_fine_pixels_and_a_couch_passes(draw, series_of):
    grid = draw.grid((240, 180, 24), (2.0, 2.0, 7.0))
    hu = draw.pelvis(grid)
    y = draw.points(grid)[..., 1]
    hu[(np.abs(y - 140) < 6)] = -150
    assert codes_of(check_series(series_of(hu, grid))) == COARSE | {"thick-slices"}


@pytest.mark.parametrize(("step_mm", "codes"), [(3.0, set()), (5.0, {"thick-slices"})])
def test_slices_farther_apart_than_planning_asks_are_a_finding(draw, series_of, step_mm, codes):
    grid = draw.grid((240, 180, 40), (2.0, 2.0, step_mm))
    found = {f.code for f in check_series(series_of(draw.pelvis(grid), grid))}
    assert found & {"thick-slices"} == codes


def test_a_head_is_refused_with_a_remedy(draw, series_of):
    grid = draw.grid((128, 128, 60), (2.0, 2.0, 3.0))
    with pytest.raises(NoPelvis, match="as a head is") as caught:
        check_series(series_of(draw.head(grid), grid))
    assert "pelvis" in caught.value.remedy


@pytest.mark.parametrize("hu", [0, 40, -1000, 1000, -1024])
def test_a_uniform_block_is_refused(draw, series_of, hu):
    grid = draw.grid((100, 100, 60), (4.0, 4.0, 3.0))
    with pytest.raises(NoPelvis):
        check_series(series_of(np.full(grid.shape_zyx, hu), grid))


@pytest.mark.parametrize("hu", [0, 40, -1000, 300])
def test_a_noisy_block_that_fills_the_image_or_lies_in_air_is_refused(draw, series_of, hu):
    grid = draw.grid((100, 100, 60), (4.0, 4.0, 3.0))
    block = np.random.default_rng(0).normal(hu, 10, grid.shape_zyx)
    with pytest.raises(NoPelvis):
        check_series(series_of(block, grid))
    air = np.random.default_rng(1).normal(-1000, 10, grid.shape_zyx)
    air[:, 20:80, 10:90] = block[:, 20:80, 10:90]
    with pytest.raises(NoPelvis):
        check_series(series_of(air, grid))


def test_a_chest_is_refused(draw, series_of, pelvis_grid):
    hu = draw.pelvis(pelvis_grid)
    p = draw.points(pelvis_grid)
    for side in (-1, 1):
        lung = ((p[..., 0] - side * 85) / 55) ** 2 + (p[..., 1] / 80) ** 2 < 1
        hu[lung] = -850
    with pytest.raises(NoPelvis, match="chest"):
        check_series(series_of(hu, pelvis_grid))


def test_a_belly_without_hip_bones_is_refused(draw, series_of, pelvis_grid):
    hu = draw.pelvis(pelvis_grid)
    side = np.abs(draw.points(pelvis_grid)[..., 0]) > 40
    hu[side & (hu > 150)] = 40
    with pytest.raises(NoPelvis, match="hip bones"):
        check_series(series_of(hu, pelvis_grid))


def test_a_test_object_of_water_with_bony_rods_is_refused(draw, series_of, pelvis_grid):
    hu = draw.pelvis(pelvis_grid)
    hu[(hu > -500) & (hu < 150)] = 0
    with pytest.raises(NoPelvis, match="no fat"):
        check_series(series_of(hu, pelvis_grid))


def test_ct_numbers_shifted_by_1024_are_refused(draw, series_of, pelvis_grid):
    with pytest.raises(ShiftedCTNumbers, match=r"Air reads about -?\d+ HU") as caught:
        check_series(series_of(draw.pelvis(pelvis_grid) + 1024, pelvis_grid))
    assert "Rescale Intercept" in caught.value.remedy


def test_a_small_shift_is_noted(draw, series_of, pelvis_grid):
    findings = check_series(series_of(draw.pelvis(pelvis_grid) + 150, pelvis_grid))
    assert "hu-offset" in codes_of(findings)


@pytest.mark.parametrize(("fat_hu", "noted"), [(-120, False), (-100, False), (-80, False), (-45, True)])
def test_fat_far_from_its_usual_ct_number_is_noted(draw, series_of, pelvis_grid, fat_hu, noted):
    hu = draw.pelvis(pelvis_grid)
    fat = (hu > -150) & (hu < -50)
    hu[fat] += fat_hu + 100
    assert ("fat-hu" in codes_of(check_series(series_of(hu, pelvis_grid)))) is noted


@pytest.mark.parametrize("position", POSITIONS)
def test_a_mirrored_pelvis_is_doubted_however_the_patient_lies(draw, series_of, position):
    grid = draw.grid((120, 120, 60), (4.0, 4.0, 3.0), direction=POSITIONS[position])
    hu = draw.pelvis(grid)
    mirrored = hu[:, :, ::-1] if position == "HFDL" else hu[:, ::-1]
    assert "orientation-doubt" in codes_of(check_series(series_of(mirrored, grid)))


@pytest.mark.parametrize("position", POSITIONS)
def test_head_and_feet_exchanged_are_doubted_however_the_patient_lies(draw, series_of, position):
    grid = draw.grid((120, 120, 60), (4.0, 4.0, 3.0), direction=POSITIONS[position])
    found = check_series(series_of(draw.pelvis(grid)[::-1], grid))
    assert ["at the feet's end" in f.message for f in found if f.code == "orientation-doubt"] == [True]


def test_a_body_that_fills_the_image_is_not_taken_for_shifted(draw, series_of):
    grid = draw.grid((64, 40, 60), (4.0, 4.0, 3.0))
    assert codes_of(check_series(series_of(draw.pelvis(grid), grid))) == COARSE | {"body-cut-off"}


def test_metal_and_short_coverage_are_noted(draw, series_of):
    grid = draw.grid((120, 90, 40), (4.0, 4.0, 3.0))
    hu = draw.pelvis(grid)
    hu[10:14, 40:46, 80:84] = 3000
    assert codes_of(check_series(series_of(hu, grid))) == COARSE | {"metal", "short-coverage"}


@pytest.mark.parametrize("position", ["HFS", "FFS"])
@pytest.mark.parametrize(
    ("from_mm", "slices", "told"),
    [
        (-118, 40, "short at the head's end"),
        (-40, 40, "short at the feet's end"),
        (-40, 23, "short at both ends"),
        (-90, 50, "15 cm: structures"),
    ],
)
def test_short_coverage_says_which_end_is_short(draw, series_of, position, from_mm, slices, told):
    direction = POSITIONS[position]
    start = from_mm if direction[8] > 0 else from_mm + 3 * (slices - 1)
    grid = draw.grid(
        (120, 90, slices),
        (4.0, 4.0, 3.0),
        direction=direction,
        origin_mm=(-238.0 * direction[0], -178.0, float(start)),
    )
    hu = draw.pelvis(grid)
    p = draw.points(grid)
    if told.endswith("both ends"):
        hu[(np.abs(p[..., 1] - 80) < 20) & (np.abs(p[..., 0]) < 40)] = 40  # no sacrum yet
    (message,) = [f.message for f in check_series(series_of(hu, grid)) if f.code == "short-coverage"]
    assert told in message


def test_one_lossy_image_is_enough_to_refuse_unless_loss_is_accepted(draw, series_of, pelvis_grid):
    series = series_of(draw.pelvis(pelvis_grid), pelvis_grid)
    lossy = Dataset()
    lossy.LossyImageCompression, lossy.SOPInstanceUID = "01", "1.2.3.7"
    series = replace(series, headers=(*series.headers[:7], lossy, *series.headers[8:]))
    with pytest.raises(LossyImages, match=r"1 of 60 images .* instance 1\.2\.3\.7"):
        check_series(series)
    found = check_series(series, accept_lossy=True)
    assert codes_of(found) == COARSE | {"lossy"}


def test_one_step_or_one_slice_that_is_thick_is_enough_to_note(draw, series_of, pelvis_grid):
    series = series_of(draw.pelvis(pelvis_grid), pelvis_grid, SliceThickness="3")
    assert codes_of(check_series(series)) == COARSE
    thick = Dataset()
    thick.SliceThickness = "5"
    one = replace(series, headers=(*series.headers[:-1], thick))
    (message,) = [f.message for f in check_series(one) if f.code == "thick-slices"]
    assert "3.0 mm apart and up to 5.0 mm thick" in message
    moved = series.slice_positions_mm.copy()
    moved[40:, 2] += 2
    assert "thick-slices" in codes_of(check_series(replace(series, slice_positions_mm=moved)))


@pytest.mark.parametrize("shift", [-60, -150, -200])
def test_a_shift_downwards_is_noted_although_air_cannot_tell(draw, series_of, pelvis_grid, shift):
    codes = codes_of(check_series(series_of(draw.pelvis(pelvis_grid) + shift, pelvis_grid)))
    assert codes & {"hu-offset", "fat-hu"}
    assert shift > -100 or "hu-offset" in codes


def test_findings_of_reading_are_not_repeated(draw, series_of, pelvis_grid):
    noted = Finding(code="copies", message="twice")
    series = replace(series_of(draw.pelvis(pelvis_grid), pelvis_grid), findings=(noted,))
    assert codes_of(check_series(series)) == COARSE


def test_too_few_slices_are_refused(draw, series_of):
    grid = draw.grid((120, 90, 19), (4.0, 4.0, 9.0))
    with pytest.raises(TooFewSlices):
        check_series(series_of(draw.pelvis(grid), grid))
