"""The demonstration is the product in one command: real networks in a real worker, DICOM in, DICOM back."""

import json
import re
import subprocess
import sys

import pytest
from pydicom import dcmread


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "service.cli", "demo", "--out", str(out)]
    options = ["--passes", "2", "--matrix", "192"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def test_it_leaves_what_it_promises(demo):
    out, _ = demo
    assert {"ct", "rtstruct.dcm", "result.json", "preview.png"} <= {path.name for path in out.iterdir()}
    assert not (out / "data").exists()


def test_the_table_names_every_structure_with_its_agreement(demo):
    out, printed = demo
    document = json.loads((out / "result.json").read_text())
    assert document["state"] == "done" and document["passes"] == 2
    for s in document["structures"]:
        row = next(line for line in printed.splitlines() if s["name"] in line)
        assert float(re.findall(r"\d\.\d{3}", row)[-1]) > 0.6
    assert "preview.png" in printed


def test_what_comes_back_belongs_to_the_ct_and_says_what_it_is(demo):
    out, _ = demo
    ct = dcmread(next((out / "ct").glob("*.dcm")), stop_before_pixels=True)
    rtstruct = dcmread(out / "rtstruct.dcm")
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert rtstruct[keyword].value == ct[keyword].value
    assert len(rtstruct.StructureSetROISequence) == 18
    assert "NOT FOR CLINICAL USE" in rtstruct.StructureSetDescription
    assert rtstruct.ApprovalStatus == "UNAPPROVED"
