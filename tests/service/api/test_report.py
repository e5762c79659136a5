"""The report over REST holds what reviewers have said by now, is noted when it leaves, and is part of the zip."""

import io
import json
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from service.audit_chain import events
from service.operation.report import report
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.figures import figures_of
from worker.grid import Grid
from worker.job_folder import Outcome, attempt_dir
from worker.patient_study import ObjectIdentity
from worker.report.pdf import NoPdf, can_make_pdf
from worker.result import Result, StructureResult
from worker.review import review_of
from worker.review_document import write_review
from worker.rtstruct import write_and_prove
from worker.series import read_series
from worker.slice_pack import write_slices

JOBS = "/api/v1/jobs"
GRID = Grid(
    size_xyz=(40, 40, 22),
    spacing_mm=(1.0, 1.0, 2.0),
    origin_mm=(-20.0, -20.0, -22.0),
    direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    frame_of_reference_uid="2.25.7",
)


class Bundle:
    name, version, sha256, intended_use = "phantom-small", "0.4.0", "ab" * 32, "research-phantom"


def ball(radius_mm):
    z, y, x = np.meshgrid(*[np.arange(n) for n in GRID.shape_zyx], indexing="ij")
    away = np.linalg.norm(GRID.to_patient(np.stack([x, y, z], axis=-1)), axis=-1) - radius_mm
    return (1 / (1 + np.exp(np.clip(away, -30, 30)))).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A result folder with one structure, made without networks."""
    folder = tmp_path_factory.mktemp("result")
    patient = PatientIdentity(patient_id="P-7", name="Doe^Jane")
    write_ct_series(np.zeros(GRID.shape_zyx, np.int16), GRID, folder / "ct", patient=patient, uid_seed="r")
    ctv = StructureResult(
        name="CTV",
        mean=ball(12),
        lower=ball(9),
        upper=ball(15),
        level=0.5,
        quality=0.9,
        quality_validated=False,
    )
    result = Result(
        series=read_series(folder / "ct"), structures=(ctv,), bundle=Bundle(), passes=5, seed=0, device="cpu"
    )
    identity = ObjectIdentity(seed="j", created=datetime(2026, 11, 26, tzinfo=UTC))
    written = write_and_prove(result, folder / "rtstruct.dcm", identity=identity)
    write_slices(result.series.hu, folder / "slices.bin")
    write_review(review_of(result, figures_of(result), written), folder)
    (folder / "result.json").write_text(json.dumps({"state": "done", "structures": [{"name": "CTV"}]}))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def done(ask, series_zip, worker, files):
    """A job with that result; its id."""
    job = ask.upload(series_zip).json()["id"]
    claim = worker.ledger.claim(job, "stub")
    attempt = attempt_dir(claim.folder, claim.fence)
    attempt.mkdir()
    for name, data in files.items():
        (attempt / name).write_bytes(data)
    assert worker.ledger.publish(claim, Outcome("done"))
    return job


def give(ask, job, grade, note=""):
    body = {"verdicts": [{"structure": "CTV", "grade": grade, "note": note}]}
    assert ask("PUT", f"{JOBS}/{job}/verdict", json=body).status_code == 200


def test_it_holds_the_verdict_of_now_and_leaves_as_a_file(ask, done):
    give(ask, done, "major", "lower end <b>too low</b>")
    answer = ask("GET", f"{JOBS}/{done}/report.html")
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="penumbra-report-{done[:8]}.html"'
    )
    assert "Doe, Jane" in answer.text and "NOT FOR CLINICAL USE" in answer.text
    assert "lower end &lt;b&gt;too low&lt;/b&gt;" in answer.text and "this machine" in answer.text
    give(ask, done, None)
    assert "too low" not in ask("GET", f"{JOBS}/{done}/report.html").text


@pytest.mark.skipif(not can_make_pdf(), reason="Pango is not installed")
def test_as_pdf_and_in_the_zip(ask, done):
    answer = ask("GET", f"{JOBS}/{done}/report.pdf")
    assert answer.headers["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
    give(ask, done, "minor")
    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{JOBS}/{done}/everything").content))
    name = f"penumbra-{done[:8]}"
    assert archive.read(f"{name}/report.pdf").startswith(b"%PDF-")
    assert b"this machine" in archive.read(f"{name}/report.html")
    with ask.app.state.parts.database.read() as session:
        left = [e.subject for e in events(session) if e.action == "downloaded"]
    assert left == ["report.pdf", "everything"]


def test_without_pango_it_is_said_what_is_missing_and_the_rest_works(ask, done, monkeypatch):
    def missing(_html):
        raise NoPdf

    monkeypatch.setattr("service.api.report.pdf_of", missing)
    monkeypatch.setattr("service.api.everything.pdf_of", missing)
    answer = ask("GET", f"{JOBS}/{done}/report.pdf")
    assert (answer.status_code, answer.json()["code"]) == (501, "no-pdf")
    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{JOBS}/{done}/everything").content))
    names = {name.split("/")[1] for name in archive.namelist()}
    assert "report.html" in names and "report.pdf" not in names


def test_a_result_without_a_review_has_no_report_and_no_link_to_one(ask, series_zip, worker):
    job = ask.upload(series_zip).json()["id"]
    worker.run(job)
    assert not {"report", "report_pdf"} & set(ask("GET", f"{JOBS}/{job}").json()["links"])
    for name in ("report.html", "report.pdf"):
        answer = ask("GET", f"{JOBS}/{job}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-report")


def test_a_done_job_links_to_its_report(ask, done):
    links = ask("GET", f"{JOBS}/{done}").json()["links"]
    assert links["report"].endswith("/report.html") and links["report_pdf"].endswith("/report.pdf")


@pytest.mark.skipif(not can_make_pdf(), reason="Pango is not installed")
def test_the_command_writes_both_into_the_folder(files, tmp_path):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    report(tmp_path)
    assert "Doe, Jane" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
