"""Which jobs a list shows, and what can be asked of one that waits or has ended."""

import time
from datetime import UTC, datetime

import pytest

from service.records import JobRecord
from worker.ledger import ProgressReport

PATH = "/api/v1/jobs"


@pytest.fixture
def two(ask, series_zip, other_series) -> list[dict]:
    """Two jobs of two series with two bundles; the moment between them is `since`."""
    first = ask.upload(series_zip).json()
    time.sleep(0.01)
    between = datetime.now(UTC).isoformat()
    time.sleep(0.01)
    return [first, ask.upload(*other_series, bundle="other", priority=6).json() | {"since": between}]


def listed(ask, **query) -> list[str]:
    return [job["id"] for job in ask("GET", PATH, params=query).json()["jobs"]]


def test_filters_narrow_the_list(ask, two) -> None:
    first, second = two
    assert listed(ask) == [second["id"], first["id"]]
    assert listed(ask, series=first["series_instance_uid"]) == [first["id"]]
    assert listed(ask, bundle="other") == [second["id"]]
    assert listed(ask, bundle="phantom-small") == [first["id"]], "the default bundle has a name too"
    assert listed(ask, since=second["since"]) == [second["id"]]
    assert listed(ask, sender="rest", bundle="other", state="queued") == [second["id"]]
    assert listed(ask, sender="TPS") == []


def test_jobs_are_counted_by_state_whatever_states_are_shown(ask, two) -> None:
    first, second = two
    ask("POST", f"{PATH}/{first['id']}/cancel")
    query = {"state": ["cancelled", "failed"], "counts": True}
    page = ask("GET", PATH, params=query).json()
    assert [job["id"] for job in page["jobs"]] == [first["id"]]
    assert page["counts"] == {"queued": 1, "cancelled": 1}
    assert ask("GET", PATH, params=query | {"bundle": "other"}).json()["counts"] == {"queued": 1}
    assert ask("GET", PATH).json()["counts"] is None
    assert set(listed(ask, state=["cancelled", "queued"])) == {first["id"], second["id"]}


def test_the_time_left_is_told_once_it_can_be(ask, two, worker) -> None:
    claim = worker.ledger.claim(two[0]["id"], "stub")

    def left(percent: float) -> float | None:
        worker.ledger.renew(claim, ProgressReport(stage="segmenting", percent=percent))
        return ask("GET", f"{PATH}/{two[0]['id']}").json()["seconds_left"]

    assert left(5.0) is None
    with ask.app.state.parts.database.write() as session:
        session.get_one(JobRecord, claim.job_id).started_at = time.time() - 100
    assert 300 <= left(25.0) < 400, "three times what a quarter took"
    assert 11 < left(90.0) < 20


def test_filters_hold_on_every_page(ask, two) -> None:
    first, _ = two
    for seed in (1, 2):
        ask("POST", PATH, json={"series_instance_uid": first["series_instance_uid"], "seed": seed})
    found, query = [], {"limit": 1, "series": first["series_instance_uid"]}
    while True:
        page = ask("GET", PATH, params=query).json()
        found += page["jobs"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [job["seed"] for job in found] == [2, 1, 0]


@pytest.mark.parametrize(
    "query",
    [f"cursor=3.e6%2Be0_{36 * 'a'}", "since=yesterday", "since=2026-05-04", "series=../x", "sende=TPS"],
)
def test_what_is_no_filter_is_refused(ask_shared, query) -> None:
    assert ask_shared("GET", f"{PATH}?{query}").json()["code"] == "invalid-request"


def test_priority_is_told_and_changed_while_a_job_waits(ask, two, worker) -> None:
    first, second = two
    assert (first["priority"], second["priority"]) == (3, 6)
    changed = ask("POST", f"{PATH}/{first['id']}/priority", json={"priority": 0}).json()
    assert changed["priority"] == 0 and "priority" in changed["links"]
    worker.run(first["id"])
    assert "priority" not in ask("GET", f"{PATH}/{first['id']}").json()["links"]
    answer = ask("POST", f"{PATH}/{first['id']}/priority", json={"priority": 0})
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


@pytest.mark.parametrize("body", [{}, {"priority": 10}, {"priority": -1}, {"priority": 1, "x": 1}])
def test_priorities_run_from_0_to_9(ask, two, body) -> None:
    assert ask("POST", f"{PATH}/{two[0]['id']}/priority", json=body).json()["code"] == "invalid-request"


def test_a_rerun_compares_two_bundles(ask, two, worker) -> None:
    first, _ = two
    worker.run(first["id"])
    done = ask("GET", f"{PATH}/{first['id']}").json()
    second = ask("POST", done["links"]["rerun"], json={"bundle": "other"})
    assert second.status_code == 202
    assert second.json()["rerun_of"] == first["id"]
    assert (second.json()["bundle"], second.json()["deliver"]) == ("other", False)
    assert ask("POST", done["links"]["rerun"], json={}).json()["code"] == "state-conflict"
