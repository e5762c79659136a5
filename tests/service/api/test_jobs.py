"""Listing, looking at, cancelling and retrying jobs, and downloading what they made."""

import pytest

from worker.job_folder import Outcome

NO_SUCH_JOB = "00000000-0000-4000-8000-000000000000"
REASON = {"code": "missing-slices", "message": "A gap follows slice 3.", "remedy": "Send the series again."}


@pytest.fixture
def job_id(ask, series_zip) -> str:
    return ask.upload(series_zip).json()["id"]


@pytest.mark.parametrize("job_id", [NO_SUCH_JOB, "x", "..%2f..%2fetc", "%00", "ZZPHIMARK", "1" * 5000])
@pytest.mark.parametrize("tail", ["", "/events", "/rtstruct", "/result", "/preview"])
def test_a_job_that_is_not_there_is_a_404_problem(ask_shared, job_id, tail) -> None:
    answer = ask_shared("GET", f"/api/v1/jobs/{job_id}{tail}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ZZPHIMARK" not in answer.text


def test_the_list_is_newest_first_and_pages_by_cursor(ask, write_series) -> None:
    ids = [ask.upload(*write_series(seed="x" * n, slices=n)).json()["id"] for n in (1, 2, 3)]
    first = ask("GET", "/api/v1/jobs?limit=2").json()
    rest = ask("GET", "/api/v1/jobs", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert rest["next_cursor"] is None


def test_the_list_can_be_narrowed_to_a_state(ask, job_id, worker) -> None:
    worker.run(job_id)
    assert [job["id"] for job in ask("GET", "/api/v1/jobs?state=done").json()["jobs"]] == [job_id]
    assert ask("GET", "/api/v1/jobs?state=queued").json()["jobs"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=9999", "state=lost", "cursor=ZZPHIMARK", "cursor=nan_"])
def test_bad_queries_are_refused_without_echo(ask_shared, query) -> None:
    answer = ask_shared("GET", f"/api/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert "ZZPHIMARK" not in answer.text


def test_a_queued_job_can_be_cancelled_and_tried_again(ask, job_id) -> None:
    cancelled = ask("POST", f"/api/v1/jobs/{job_id}/cancel").json()
    assert (cancelled["state"], cancelled["reason"]["code"]) == ("cancelled", "cancelled")
    assert "retry" in cancelled["links"]
    retried = ask("POST", f"/api/v1/jobs/{job_id}/retry").json()
    assert (retried["state"], retried["reason"]) == ("queued", None)


def test_what_the_state_does_not_allow_is_a_conflict(ask, job_id, worker) -> None:
    assert ask("POST", f"/api/v1/jobs/{job_id}/retry").json()["code"] == "state-conflict"
    worker.run(job_id)
    answer = ask("POST", f"/api/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


def test_a_rejected_job_tells_reason_and_remedy_and_has_no_rtstruct(ask, job_id, worker) -> None:
    worker.run(job_id, Outcome("rejected", REASON))
    job = ask("GET", f"/api/v1/jobs/{job_id}").json()
    assert (job["state"], job["reason"]) == ("rejected", REASON)
    assert "rtstruct" not in job["links"]
    assert ask("GET", job["links"]["result"]).json() == {"state": "rejected"}
    assert ask("GET", f"/api/v1/jobs/{job_id}/rtstruct").json()["code"] == "no-result"


def test_a_result_is_a_download_named_after_the_job(ask, job_id, worker, settings) -> None:
    worker.run(job_id)
    links = ask("GET", f"/api/v1/jobs/{job_id}").json()["links"]
    answer = ask("GET", links["rtstruct"])
    assert answer.content == (settings.jobs_dir / job_id / "result" / "rtstruct.dcm").read_bytes()
    assert answer.headers["content-type"] == "application/dicom"
    assert answer.headers["content-disposition"] == f'attachment; filename="rtstruct-{job_id}.dcm"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert ask("GET", links["result"]).json() == {"state": "done"}
    assert ask("GET", links["preview"]).headers["content-type"] == "image/png"


def test_a_download_answers_304_to_its_etag_and_ranges(ask, job_id, worker) -> None:
    worker.run(job_id)
    path = f"/api/v1/jobs/{job_id}/rtstruct"
    whole = ask("GET", path)
    for known in (whole.headers["etag"], f'"other", W/{whole.headers["etag"]}', "*"):
        again = ask("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    assert ask("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200
    part = ask("GET", path, headers={"Range": "bytes=128-131", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, b"DICM")


def test_a_job_never_shows_who_the_patient_is(ask, job_id, worker) -> None:
    worker.run(job_id)
    for path in ("/api/v1/jobs", f"/api/v1/jobs/{job_id}", f"/api/v1/jobs/{job_id}/events", "/metrics"):
        assert "ZZPHIMARK" not in ask("GET", path).text


def test_an_ended_job_has_a_short_event_stream(ask, job_id, worker) -> None:
    worker.run(job_id)
    answer = ask("GET", f"/api/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["progress", "end"]
