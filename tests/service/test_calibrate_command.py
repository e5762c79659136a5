"""`penumbra calibrate`, from case folders to a bundle whose bounds are calibrated."""

import json
import shutil

import pytest
import typer
from typer.testing import CliRunner

from models.bundle import load_bundle
from service.physics import add_commands
from worker.bundle_info import find_bundles
from worker.errors import NotCalibrated
from worker.evaluation.case_scoring import score_case
from worker.job_folder import JobRequest
from worker.phantom_case import case_name
from worker.run_job import run
from worker.settings import WorkerSettings

app = typer.Typer()
add_commands(app)
ALPHA, PASSES = 0.4, 2  # two cases are enough


def penumbra(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def contoured(case, out, *, bundles, bounds, passes=PASSES):
    request = JobRequest(job_id="one", series_instance_uid="", passes=passes, bounds=bounds)
    out.mkdir(exist_ok=True)
    settings = WorkerSettings(bundles_dir=bundles, device="cpu")
    outcome = run(request, case / "ct", out, progress=lambda report: None, settings=settings)
    return outcome, json.loads((out / "result.json").read_text())


@pytest.fixture(scope="module")
def cases(phantom_case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for number in range(2):
        shutil.copytree(phantom_case, folder / case_name(number))
    return folder


@pytest.fixture(scope="module")
def out(cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration")
    options = ("--passes", PASSES, "--alpha", ALPHA, "--jobs", 1, "--note", "two of a kind")
    done = penumbra("calibrate", cases, "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert "CTV" in done.output and "No DSC is predicted for Bladder" in done.output
    return out


def test_the_record_is_in_a_copy_of_the_bundle(out):
    bundle = load_bundle(out / "phantom-small")
    record = bundle.manifest.calibration
    assert record.model_dump(mode="json") == json.loads((out / "calibration.json").read_text())
    assert record.command.startswith("two of a kind; penumbra calibrate CASES") and record.cases == 2
    assert set(record.bands) >= {"CTV", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R"}
    assert (out / "calibration.png").exists()


def test_it_goes_on_from_what_was_measured(cases, out):
    before = {path: path.stat().st_mtime_ns for path in (out / "measured").iterdir()}
    again = penumbra("calibrate", cases, "--out", out, "--passes", PASSES, "--alpha", ALPHA, "--jobs", 1)
    assert again.exit_code == 0 and len(before) == 2
    assert {path: path.stat().st_mtime_ns for path in (out / "measured").iterdir()} == before


def test_the_bounds_hold_as_much_of_the_surface_as_was_asked(cases, out, tmp_path):
    case = cases / "case-0000"
    outcome, document = contoured(case, tmp_path / "calibrated", bundles=out, bounds="auto")
    assert outcome.state == "done"
    modes = {s["name"]: s["bounds"] for s in document["structures"]}
    record = json.loads((out / "calibration.json").read_text())
    scores = {s.structure: s for s in score_case(case, tmp_path / "calibrated").scores}
    for name, band in record["bands"].items():
        assert modes[name].startswith("calibrated")
        assert scores[name].outside <= band["risk"] + 0.08, name  # voxels and written contours round a little
        assert scores[name].lower_in_mean and scores[name].mean_in_upper


def test_a_record_holds_from_as_many_passes_on_as_it_was_made_with(cases, out, tmp_path):
    case = cases / "case-0000"
    outcome, document = contoured(case, tmp_path / "few", bundles=out, bounds="calibrated", passes=PASSES - 1)
    assert outcome.state == "rejected" and document["reason"]["code"] == NotCalibrated.code


def test_a_clinics_own_bundle_is_the_one_that_is_calibrated(cases, tmp_path, monkeypatch):
    shutil.copytree(cases / case_name(0), tmp_path / "cases" / case_name(0))
    shutil.copytree(find_bundles()["phantom-small"], tmp_path / "bundles" / "clinic")
    monkeypatch.setenv("PENUMBRA_BUNDLES_DIR", str(tmp_path / "bundles"))
    options = ("--passes", 1, "--alpha", 0.5, "--jobs", 1, "--bundle", "clinic", "--in-place")
    done = penumbra("calibrate", tmp_path / "cases", "--out", tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    record = load_bundle(tmp_path / "bundles" / "clinic").manifest.calibration
    assert record.not_contoured == 0 and record.cases == 1


def test_a_wider_promise_needs_more_cases(cases, tmp_path):
    refused = penumbra("calibrate", cases, "--out", tmp_path, "--passes", PASSES, "--alpha", 0.05)
    assert refused.exit_code == 1 and "at least 19" in refused.output
