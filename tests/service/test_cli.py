"""The command line's manners: exit codes, JSON for scripts, sentences instead of tracebacks."""

import json
import shutil

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from service.cli import app, main
from service.physics import add_commands

add_commands(app)
run = CliRunner().invoke


def test_bundles_are_listed_as_json():
    listed = json.loads(run(app, ["bundles", "--json"]).stdout)
    shipped = next(b for b in listed if b["name"] == "phantom-small")
    assert shipped["intended_use"] == "research-phantom"
    assert {m["structure"] for m in shipped["metrics"] if m["name"] == "DSC"} == {
        "CTV",
        "Bladder",
        "Rectum",
        "Femur_Head_L",
        "Femur_Head_R",
        "PenileBulb",
    }
    assert all(m["cases"] >= 20 and m["command"] for m in shipped["metrics"])


def test_the_doctor_finds_everything_in_place(tmp_path, monkeypatch):
    monkeypatch.setenv("PENUMBRA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PENUMBRA_API_PORT", "0")
    monkeypatch.setenv("PENUMBRA_DICOM_PORT", "0")
    done = run(app, ["doctor"])
    assert done.exit_code == 0 and "bundle phantom-small" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment", "does-not-exist", "out"],
        ["segment"],
        ["train", "--out", "x", "--recipe", "unheard-of"],
        ["phantom", "x"],
        ["segment", ".", "out", "--passes", "0"],
    ],
)
def test_wrong_usage_is_two(arguments):
    assert run(app, arguments).exit_code == 2


def test_a_bad_setting_is_a_sentence_without_its_value(monkeypatch, capsys):
    monkeypatch.setenv("PENUMBRA_DICOM_HOST", "0.0.0.0")
    monkeypatch.setattr("sys.argv", ["penumbra", "doctor"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "PENUMBRA_PEERS" in told and "0.0.0.0" not in told


def test_the_same_seed_draws_the_same_bytes(phantom_case, tmp_path):
    assert run(app, ["phantom", str(tmp_path), "--seed", "31", "--matrix", "160"]).exit_code == 0
    files = sorted(p.relative_to(phantom_case) for p in phantom_case.rglob("*.dcm"))
    assert len(files) > 40
    for file in files:
        assert (phantom_case / file).read_bytes() == (tmp_path / phantom_case.name / file).read_bytes()


def test_a_refusal_still_tells_what_was_noticed_before_it(phantom_case, tmp_path):
    """Mirrored from front to back, and with nothing but fat between the bones: the guard noticed the former."""
    shutil.copytree(phantom_case / "ct", tmp_path / "ct")
    for path in (tmp_path / "ct").iterdir():
        dataset = dcmread(path)
        rows = np.frombuffer(dataset.PixelData, "<i2").reshape(dataset.Rows, dataset.Columns)
        hu = rows * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        fat = round((-100 - float(dataset.RescaleIntercept)) / float(dataset.RescaleSlope))
        emptied = np.where((hu > -60) & (hu < 130), fat, rows).astype("<i2")
        dataset.PixelData = emptied[::-1].tobytes()
        dataset.save_as(path)
    done = run(app, ["segment", str(tmp_path / "ct"), str(tmp_path / "out"), "--passes", "1"])
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (done.exit_code, document["reason"]["code"]) == (3, "no-pelvis")
    assert "orientation-doubt" in {f["code"] for f in document["findings"]}
    assert "orientation-doubt: " in done.stdout
