"""A place that was looked at is ticked off per reviewer, kept, audited, and told in the report."""

import pytest

from service.audit_chain import events, verify
from service.looked import places_of
from service.roles import Role

JOBS = "/api/v1/jobs"


@pytest.fixture
def places(ask, done):
    found = places_of(ask.app.state.parts.jobs.get(done))
    assert len(found) >= 2
    return found


def put(ask, job, **ticks):
    return ask("PUT", f"{JOBS}/{job}/looked", json={"places": ticks})


def log_of(ask):
    with ask.app.state.parts.database.read() as session:
        assert verify(session, []).is_whole
        return [(e.action, e.subject) for e in events(session) if e.action.startswith("look")]


def test_each_reviewer_ticks_for_himself_and_sees_who_has_looked_before(as_role, done, places):
    one, two = as_role(Role.OPERATE, "Dr. Gray"), as_role(Role.OPERATE, "Dr. Brown")
    assert put(one, done, **{places[0]: True}).json()["mine"] == [places[0]]
    told = put(two, done, **{places[0]: True, places[1]: True}).json()
    assert sorted(told["mine"]) == sorted(places[:2])
    put(one, done, **{places[0]: False, places[1]: False})  # the second was never ticked by this one
    read = as_role(Role.VIEW)("GET", f"{JOBS}/{done}/looked").json()
    assert read["mine"] == []
    assert sorted((each["place"], each["reviewer_name"]) for each in read["looks"]) == sorted(
        (place, "Dr. Brown") for place in places[:2]
    )
    assert log_of(one) == [
        ("looked-at", places[0]),
        ("looked-at", places[0]),
        ("looked-at", places[1]),
        ("look-taken-back", places[0]),
    ]


def test_the_same_tick_again_is_no_further_event(ask, done, places):
    first = put(ask, done, **{places[0]: True}).json()
    assert put(ask, done, **{places[0]: True}).json() == first
    assert log_of(ask) == [("looked-at", places[0])]


def test_a_place_that_the_review_does_not_list_is_refused_whole(ask, done, places, series_zip):
    answer = put(ask, done, **{places[0]: True, "CTV-border-nowhere": True})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown-place")
    assert put(ask, done, **{"<b>": True}).status_code == 422
    assert ask("GET", f"{JOBS}/{done}/looked").json()["looks"] == [] and log_of(ask) == []


def test_who_only_reads_ticks_nothing(as_role, done, places):
    assert put(as_role(Role.VIEW), done, **{places[0]: True}).status_code == 403


def test_the_report_says_who_has_looked_where(ask, done, places):
    assert "this machine" not in ask("GET", f"{JOBS}/{done}/report.html").text
    put(ask, done, **{places[0]: True})
    report = ask("GET", f"{JOBS}/{done}/report.html").text
    assert "✓ this machine, " in report and f"1 of {len(places)} places" in report
