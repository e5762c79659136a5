"""One zip holds all that a job has made, byte for byte, and fetching it is noted like any download."""

import io
import zipfile

import pytest

from service.audit_chain import events
from service.zip_stream import CHUNK_BYTES, Member, zip_stream

JOBS = "/api/v1/jobs"


@pytest.fixture
def done(ask, series_zip, worker, settings):
    job = ask.upload(series_zip).json()["id"]
    worker.rtstruct_bytes = 3 * CHUNK_BYTES + 7
    worker.run(job)
    (settings.jobs_dir / job / "result" / "seg-mean.dcm").write_bytes(b"seg")
    (settings.jobs_dir / job / "result" / "slices.bin").write_bytes(b"the CT, which whoever asks has already")
    return job


def opened(data):
    return zipfile.ZipFile(io.BytesIO(data))


def test_the_zip_holds_every_object_as_it_is_fetched_alone(ask, done):
    answer = ask("GET", f"{JOBS}/{done}/everything")
    assert answer.headers["content-type"] == "application/zip"
    name = f"penumbra-{done[:8]}"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.zip"'
    archive = opened(answer.content)
    assert archive.testzip() is None
    assert {"rtstruct.dcm", "seg-mean.dcm", "result.json", "preview.png"} <= {
        each.removeprefix(f"{name}/") for each in archive.namelist()
    }
    assert f"{name}/slices.bin" not in archive.namelist()
    assert archive.read(f"{name}/rtstruct.dcm") == ask("GET", f"{JOBS}/{done}/rtstruct").content
    assert archive.read(f"{name}/result.json") == ask("GET", f"{JOBS}/{done}/result").content


def test_without_a_review_the_pdf_of_the_worker_goes_along(ask, done, settings):
    (settings.jobs_dir / done / "result" / "report.pdf").write_bytes(b"%PDF- of the worker")
    archive = opened(ask("GET", f"{JOBS}/{done}/everything").content)
    assert archive.read(f"penumbra-{done[:8]}/report.pdf") == b"%PDF- of the worker"


def test_there_is_a_link_as_soon_as_there_is_a_zip(ask, series_zip, worker):
    job = ask.upload(series_zip).json()
    assert "everything" not in job["links"]
    answer = ask("GET", f"{JOBS}/{job['id']}/everything")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-result")
    worker.run(job["id"])
    links = ask("GET", f"{JOBS}/{job['id']}").json()["links"]
    assert ask("GET", links["everything"]).status_code == 200


def test_fetching_it_is_one_event(ask, done):
    ask("GET", f"{JOBS}/{done}/everything")
    with ask.app.state.parts.database.read() as session:
        found = [(e.action, e.subject, e.job_id) for e in events(session)]
    assert found[-1] == ("downloaded", "everything", done)


def test_a_large_file_is_never_whole_in_memory(tmp_path):
    path = tmp_path / "large.pdf"  # not compressed, so that pieces show
    path.write_bytes(bytes(20 * CHUNK_BYTES))
    pieces = list(zip_stream([Member("large.pdf", path), Member("note.txt", b"text" * 1000)]))
    assert max(map(len, pieces)) < 2 * CHUNK_BYTES
    archive = opened(b"".join(pieces))
    assert archive.read("large.pdf") == path.read_bytes() and archive.read("note.txt") == b"text" * 1000
