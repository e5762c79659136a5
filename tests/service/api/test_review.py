"""What the review page is made from: the figures, and slices as raw CT numbers; each look is in the audit log once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service import audit, audit_viewings
from service.audit_chain import events
from worker.job_folder import Outcome, attempt_dir
from worker.slice_pack import write_slices

HU = np.random.default_rng(5).integers(-1024, 3000, (4, 6, 8)).astype(np.int16)
JOBS = "/api/v1/jobs"


@pytest.fixture
def job_id(ask, series_zip) -> str:
    return ask.upload(series_zip).json()["id"]


@pytest.fixture
def reviewed(job_id, worker) -> str:
    """A job whose result can be reviewed."""
    claim = worker.ledger.claim(job_id, "stub")
    attempt = attempt_dir(claim.folder, claim.fence)
    attempt.mkdir()
    for name in ("result.json", "review.json"):
        (attempt / name).write_text(json.dumps({"state": "done"}))
    (attempt / "rtstruct.dcm").write_bytes(b"x")
    write_slices(HU, attempt / "slices.bin")
    assert worker.ledger.publish(claim, Outcome("done"))
    return job_id


@pytest.fixture
def log(worker):
    def read():
        with worker.database.read() as session:
            return list(events(session))

    return read


def test_each_slice_comes_as_it_was_read(ask, reviewed) -> None:
    for index in (3, 0):
        answer = ask("GET", f"{JOBS}/{reviewed}/slices/{index}")
        assert answer.headers["content-encoding"] == "gzip"
        shape = [int(answer.headers[f"x-penumbra-{side}"]) for side in ("rows", "columns")]
        assert (np.frombuffer(answer.content, "<i2").reshape(shape) == HU[index]).all()


def test_a_client_that_takes_no_gzip_gets_the_plain_numbers(ask, reviewed) -> None:
    answer = ask("GET", f"{JOBS}/{reviewed}/slices/1", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.content == HU[1].astype("<i2").tobytes()


def test_the_review_is_the_file_and_has_an_etag(ask, reviewed) -> None:
    path = f"{JOBS}/{reviewed}/review"
    answer = ask("GET", path)
    assert answer.json() == {"state": "done"}
    assert ask("GET", path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert ask("GET", f"{JOBS}/{reviewed}").json()["links"]["review"] == path


def test_a_slice_has_an_etag_of_its_own(ask, reviewed) -> None:
    first, second = (ask("GET", f"{JOBS}/{reviewed}/slices/{n}").headers["etag"] for n in (0, 1))
    assert first != second
    again = {"If-None-Match": first}
    assert ask("GET", f"{JOBS}/{reviewed}/slices/0", headers=again).status_code == 304
    assert ask("GET", f"{JOBS}/{reviewed}/slices/1", headers=again).status_code == 200


@pytest.mark.parametrize(("index", "status"), [("4", 404), ("999999", 404), ("-1", 422), ("x", 422)])
def test_a_slice_that_is_not_there_is_refused(ask, reviewed, index, status) -> None:
    answer = ask("GET", f"{JOBS}/{reviewed}/slices/{index}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("what", ["review", "slices/0"])
def test_an_older_result_says_that_it_cannot_be_reviewed(ask, job_id, worker, what) -> None:
    assert ask("GET", f"{JOBS}/{job_id}/{what}").json()["code"] == "no-result"
    worker.run(job_id)
    answer = ask("GET", f"{JOBS}/{job_id}/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-review")
    assert "Run the job again" in answer.json()["remedy"]
    assert "review" not in ask("GET", f"{JOBS}/{job_id}").json()["links"]


def test_a_look_is_one_event_however_many_slices_it_takes(ask, reviewed, log, monkeypatch) -> None:
    before = len(log())
    ask("GET", f"{JOBS}/{reviewed}/review")
    for index in (0, 1, 2, 0):
        ask("GET", f"{JOBS}/{reviewed}/slices/{index}")
    ask("GET", f"{JOBS}/{reviewed}/slices/99")
    told = [(e.action, e.subject, e.job_id) for e in log()[before:]]
    assert told == [("downloaded", "review", reviewed), ("downloaded", "slices", reviewed)]
    monkeypatch.setattr(audit_viewings, "VIEWING_S", -1.0)
    ask("GET", f"{JOBS}/{reviewed}/slices/0")
    assert log()[-1].subject == "slices" and len(log()) == before + 3


def test_slices_asked_for_at_once_are_one_look(ask, reviewed, log, monkeypatch) -> None:
    record = audit.record

    def slow(*arguments, **options) -> None:
        time.sleep(0.2)
        record(*arguments, **options)

    monkeypatch.setattr(audit, "record", slow)
    before = len(log())
    with ThreadPoolExecutor(5) as page:
        answers = list(page.map(lambda k: ask("GET", f"{JOBS}/{reviewed}/slices/{k}"), (0, 1, 2, 3, 0)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert [event.subject for event in log()[before:]] == ["slices"]
