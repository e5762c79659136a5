"""From measured cases to a record, and the points of a true surface that cases are measured at."""

from pathlib import Path

import numpy as np
import pytest

from models.bundle import read_manifest
from models.structures import ORGANS
from worker.bundle_info import find_bundles
from worker.calibrate import CalibrationFailed, CalibrationPlan, calibrate, calibrated, conclude, of_structure
from worker.calibration_case import POINTS, Measured, MeasuredCase, Passes, digest_of, surface_points
from worker.calibration_picture import draw_calibration
from worker.evaluation.written import WrittenContours
from worker.rtstruct import write_contours

HOW = Passes(bundle="phantom-small", weights={"CTV": "ab"}, passes=50)
PLAN = CalibrationPlan(cases_dir=Path("cases"), out=Path("out"), how=HOW)


def measured(rng, *, bias=0.0, quality=0.9, dsc=0.9):
    ratios = np.abs(rng.normal(bias, 1, POINTS)).astype(np.float32)
    return Measured(ratios=ratios, scale_mm=1.5, s0_mm=0.75, paper_outside=0.25, quality=quality, dsc=dsc)


def cohort(count, *, without_bulb=0, lost=0, rank=1.0):
    """Cases with Gaussian errors in units of s; quality follows DSC where `rank` is 1."""
    rng = np.random.default_rng(5)
    cases = {}
    for index in range(count):
        dsc = 0.8 + 0.1 * rng.random()
        quality = dsc if rank else 0.8 + 0.1 * rng.random()
        names = ["CTV", *(o.name for o in ORGANS if o.name != "PenileBulb" or index >= without_bulb)]
        structures = {name: measured(rng, quality=quality, dsc=dsc) for name in names}
        cases[f"case-{index:04d}"] = MeasuredCase(
            structures=None if index < lost else structures, sha256=f"{index:064x}"
        )
    return cases


def test_a_gaussian_error_gives_the_band_that_holds_ninety_five_percent():
    record = conclude(cohort(40), PLAN, command="penumbra calibrate").record
    for band in record.bands.values():
        assert 1.96 < band.kappa < 2.4  # a little more than 1.96, for there are only 40 cases
        assert band.risk <= 0.05 - 0.95 / 40 + 1e-3
        assert band.width_mm == pytest.approx(2 * band.kappa * 1.5, rel=1e-3)
        assert band.cases == 40 and band.skipped == 0 and band.paper_risk == 0.25


def test_every_organ_gets_a_predicted_dsc_and_the_ctv_none():
    record = conclude(cohort(30), PLAN, command="c").record
    assert set(record.quality) == {o.name for o in ORGANS}
    assert all(q.validated and q.rank_correlation > 0.9 for q in record.quality.values())
    prediction = record.quality["Bladder"].predict(0.85)
    assert prediction.low <= 0.85 <= prediction.high and prediction.value == pytest.approx(0.85, abs=0.02)


def test_a_quality_that_tells_nothing_is_not_validated():
    record = conclude(cohort(30, rank=0.0), PLAN, command="c").record
    assert not any(q.validated for q in record.quality.values())


def test_a_structure_with_too_few_cases_keeps_the_papers_band_and_the_rest_is_calibrated():
    made = conclude(cohort(24, without_bulb=6), PLAN, command="c")
    assert set(made.record.bands) == {"CTV", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R"}
    assert made.missing == (
        "PenileBulb keeps the paper's band. "
        "18 cases cannot calibrate a band: alpha = 0.05 needs at least 19.",
    )
    assert "PenileBulb" in made.record.quality


def test_cases_without_contours_are_counted_and_not_used():
    made = conclude(cohort(24, lost=3), PLAN, command="c")
    assert made.record.cases == 24 and made.record.not_contoured == 3
    assert made.record.bands["CTV"].cases == 21 and made.record.bands["CTV"].skipped == 3
    assert len(of_structure(made.cases, "CTV")) == 21


def test_the_record_says_from_which_data():
    cases = cohort(20)
    first = conclude(cases, PLAN, command="c").record.data_sha256
    assert conclude(dict(reversed(cases.items())), PLAN, command="c").record.data_sha256 == first
    cases["case-0000"] = MeasuredCase(structures=cases["case-0000"].structures, sha256="f" * 64)
    assert conclude(cases, PLAN, command="c").record.data_sha256 != first


def test_a_record_makes_calibrated_bounds_the_bundles_default():
    manifest, _ = read_manifest(find_bundles()["phantom-small"])
    record = conclude(cohort(20), PLAN, command="c").record
    changed = calibrated(manifest, record)
    assert changed.bounds == "calibrated" and changed.band("CTV") == record.bands["CTV"]
    assert type(changed).model_validate_json(changed.model_dump_json()) == changed


def test_too_few_cases_are_refused_before_anything_is_measured(tmp_path):
    for index in range(18):
        (tmp_path / f"case-{index:04d}").mkdir()
        (tmp_path / f"case-{index:04d}" / "truth.dcm").touch()
    plan = CalibrationPlan(cases_dir=tmp_path, out=tmp_path / "out", how=HOW)
    with pytest.raises(CalibrationFailed, match="18 cases .* at least 19"):
        calibrate(plan, command="c", on_case=lambda done, count: None)


def test_points_lie_on_the_true_surface_in_patient_space_evenly_by_area(make_series, draw, tmp_path):
    grid = draw.grid((64, 60, 30), (1.0, 1.1, 2.5), origin_mm=(-20.0, 35.0, -400.0))
    series = make_series(np.zeros(grid.shape_zyx, np.int16), grid)
    centre = grid.to_patient((31, 29, 14))
    field = draw.ball(grid, centre, 18.0)
    write_contours(series, {"Bladder": (field, 0.5)}, tmp_path / "truth.dcm", identity=draw.identity)
    truth = WrittenContours.read(tmp_path / "truth.dcm", series)
    away = surface_points(truth, "Bladder", series.grid) - centre
    radius = np.linalg.norm(away, axis=1)
    assert abs(radius.mean() - 18) < 0.3 and np.abs(radius - 18).max() < 2.0
    assert np.abs(away.mean(0)).max() < 0.25
    # on a voxel surface each direction's faces have the area of the shadow, so a third of the points each
    assert len(away) == POINTS
    for axis in range(3):
        assert np.abs(away[:, axis]).mean() == pytest.approx(9, abs=1.2)


def test_another_image_or_truth_is_another_case(tmp_path):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "1.dcm").write_bytes(b"image")
    (tmp_path / "truth.dcm").write_bytes(b"truth")
    first = digest_of(tmp_path)
    (tmp_path / "truth.dcm").write_bytes(b"another truth")
    assert digest_of(tmp_path) != first


def test_a_calibration_is_a_picture(tmp_path):
    draw_calibration(conclude(cohort(24), PLAN, command="c"), tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").read_bytes()[:4] == b"\x89PNG"
