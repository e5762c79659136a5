"""`penumbra verify`: exit codes, JSON for scripts, a table that no ROI name can upset."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from service.cli import app
from service.physics import add_commands
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid
from worker.patient_study import ObjectIdentity
from worker.phantom_case import CREATED
from worker.rtstruct import write_contours
from worker.series import read_series
from worker.voi import LPS_AXES

add_commands(app)


def run(*arguments) -> SimpleNamespace:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> SimpleNamespace:
    """A box on a small CT, as we write it."""
    folder = tmp_path_factory.mktemp("small")
    grid = Grid(
        size_xyz=(24, 20, 20),
        spacing_mm=(1.0, 1.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=LPS_AXES,
        frame_of_reference_uid="1.2.3",
    )
    patient = PatientIdentity(patient_id="PEN-0001", name="Quasimodo^Esmeralda")
    write_ct_series(np.zeros(grid.shape_zyx, np.int16), grid, folder / "ct", patient=patient, uid_seed="box")
    box = np.zeros(grid.shape_zyx)
    box[5:9, 6:14, 6:14] = 1
    identity = ObjectIdentity(seed="box", created=CREATED)
    write_contours(read_series(folder / "ct"), {"Box": (box, 0.5)}, folder / "rs.dcm", identity=identity)
    return SimpleNamespace(rs=folder / "rs.dcm", ct=folder / "ct")


def renamed(small, folder, name):
    dataset = dcmread(small.rs)
    dataset.StructureSetROISequence[0].ROIName = name
    dataset.save_as(folder / "rs.dcm")
    return folder / "rs.dcm"


def test_nothing_wrong_is_zero_and_volumes_are_shown(small):
    done = run(small.rs, small.ct)
    assert done.exit_code == 0 and "Box" in done.output
    assert "0 errors, 0 warnings, 0 notes on 20 images" in done.output


def test_a_warning_is_one_and_says_what_to_do(small, tmp_path):
    done = run(renamed(small, tmp_path, "A_box_of_the_patient"), small.ct)
    assert done.exit_code == 1
    assert "name-length" in done.output and "Shorten the name" in " ".join(done.output.split())


def test_a_name_that_looks_like_markup_is_shown_as_it_is(small, tmp_path):
    done = run(renamed(small, tmp_path, "[/red] [bold]"), small.ct)
    assert done.exit_code == 0 and "[/red] [bold]" in done.output


def test_json_for_scripts(small, tmp_path):
    document = json.loads(run(renamed(small, tmp_path, "A_box_of_the_patient"), small.ct, "--json").stdout)
    (objection,) = document["objections"]
    assert (objection["code"], objection["severity"]) == ("name-length", "warning")
    assert objection["roi"] == {"number": 1, "name": "A_box_of_the_patient"}
    assert (document["errors"], document["warnings"], document["images"]) == (0, 1, 20)
    assert document["rois"][0]["volume_cc"] == pytest.approx(0.756, abs=0.1)


def test_wrong_usage_is_two(small, tmp_path):
    assert run(tmp_path / "absent.dcm", small.ct).exit_code == 2
    assert run(small.rs).exit_code == 2


def test_what_cannot_be_read_is_three_with_the_reason(small, tmp_path):
    (tmp_path / "text.dcm").write_text("a text, no DICOM" * 20)
    done = run(tmp_path / "text.dcm", small.ct)
    assert done.exit_code == 3 and "not DICOM" in done.stderr
    done = run(small.rs, tmp_path, "--json")
    assert done.exit_code == 3 and json.loads(done.stdout)["reason"]["code"] == "no-dicom"
