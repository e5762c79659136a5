"""Listing and fetching what a job has made."""

import pytest


@pytest.fixture
def job_id(ask, series_zip) -> str:
    return ask.upload(series_zip).json()["id"]


def test_objects_are_listed_and_fetched_by_name(ask, job_id, worker, settings) -> None:
    path = f"/api/v1/jobs/{job_id}/objects"
    assert ask("GET", path).json() == {"objects": []}
    worker.run(job_id)
    folder = settings.jobs_dir / job_id / "result"
    (folder / "seg-mean.dcm").write_bytes(b"segmentation")
    (folder / "other.txt").write_text("no object")
    assert ask("GET", f"/api/v1/jobs/{job_id}").json()["links"]["objects"] == path
    listed = ask("GET", path).json()["objects"]
    assert [(each["name"], each["kind"]) for each in listed] == [
        ("rtstruct.dcm", "rtstruct"),
        ("seg-mean.dcm", "seg"),
    ]
    assert listed[1]["bytes"] == len(b"segmentation")
    answer = ask("GET", listed[1]["link"])
    assert answer.content == b"segmentation" and answer.headers["content-type"] == "application/dicom"
    for name in ("other.txt", "result.json", "seg-band.dcm", "..%2Frequest.json"):
        assert ask("GET", f"{path}/{name}").status_code == 404
