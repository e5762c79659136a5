"""A verdict is recorded per structure with who and when, nothing of it is lost, and the contours stay as they were."""

import csv
import json

import pytest
from sqlalchemy import event
from typer.testing import CliRunner

from service import cli
from service.audit_chain import events, verify
from service.roles import Role
from service.verdict_export import write_csv

JOBS = "/api/v1/jobs"
RESULT = {
    "state": "done",
    "bundle": {"name": "phantom-small", "version": "0.4.0"},
    "structures": [
        {
            "name": "CTV",
            "quality": 0.91,
            "volume_cc": 80.5,
            "bounds": "calibrated",
            "band_mm": {"mean": 6.5, "p95": 15},
        },
        {"name": "Bladder", "quality": 0.97, "volume_cc": 210.0, "bounds": "calibrated", "band_mm": {}},
    ],
}


@pytest.fixture
def done(ask, series_zip, worker, settings):
    """A job that is done; its id."""
    job = ask.upload(series_zip).json()["id"]
    worker.run(job)
    (settings.jobs_dir / job / "result" / "result.json").write_text(json.dumps(RESULT))
    return job


def put(ask, job, *verdicts):
    body = {"verdicts": [{"structure": s, "grade": g, "note": n} for s, g, n in verdicts]}
    return ask("PUT", f"{JOBS}/{job}/verdict", json=body)


def said(answer):
    return [(v["structure"], v["grade"], v["note"]) for v in answer.json()["verdicts"]]


def log_of(ask):
    with ask.app.state.parts.database.read() as session:
        assert verify(session, []).is_whole
        return [e for e in events(session) if e.action.startswith("verdict")]


def test_a_verdict_names_who_gave_it_and_is_there_for_the_next_to_read(as_role, done):
    physician = as_role(Role.OPERATE, "Dr. Gray")
    put(physician, done, ("CTV", "minor", "lower end"))
    answer = put(physician, done, ("Bladder", "usable-as-is", ""))
    assert said(answer) == [("CTV", "minor", "lower end"), ("Bladder", "usable-as-is", "")]
    read = as_role(Role.VIEW)("GET", f"{JOBS}/{done}/verdict").json()
    assert read == answer.json() and read["structures"] == ["CTV", "Bladder"]
    assert {v["reviewer_name"] for v in read["history"]} == {"Dr. Gray"}
    assert all(v["reviewer"].startswith("token:") and v["at"] for v in read["history"])


def test_a_second_opinion_counts_and_the_first_stays_in_the_history(as_role, done):
    one, two = as_role(Role.OPERATE, "one"), as_role(Role.OPERATE, "two")
    put(one, done, ("CTV", "usable-as-is", ""))
    answer = put(two, done, ("CTV", "not-usable", "wrong side"))
    assert said(answer) == [("CTV", "not-usable", "wrong side")]
    history = answer.json()["history"]
    assert [(v["reviewer_name"], v["grade"]) for v in history] == [
        ("two", "not-usable"),
        ("one", "usable-as-is"),
    ]


def test_a_verdict_can_be_taken_back(ask, done):
    put(ask, done, ("CTV", "major", ""))
    answer = put(ask, done, ("CTV", None, ""))
    assert said(answer) == [] and len(answer.json()["history"]) == 2


def test_the_same_said_again_is_one_verdict(ask, done):
    put(ask, done, ("CTV", None, ""))  # nothing to take back
    for _ in range(3):
        answer = put(ask, done, ("CTV", "major", "x"))
    assert len(answer.json()["history"]) == 1 and len(log_of(ask)) == 1


def test_each_verdict_is_an_event_without_its_free_text(as_role, ask, done):
    put(as_role(Role.OPERATE), done, ("CTV", "minor", "ZZPHIMARK"), ("Bladder", "major", "ZZPHIMARK"))
    found = log_of(ask)
    assert [(e.action, e.subject, e.job_id) for e in found] == [
        ("verdict-given", "CTV", done),
        ("verdict-given", "Bladder", done),
    ]
    assert [json.loads(e.detail) for e in found] == [{"grade": "minor"}, {"grade": "major"}]
    assert all(e.series_uid and e.actor.startswith("token:") for e in found)


def test_the_result_is_left_as_it_was(ask, done, settings):
    folder = settings.jobs_dir / done
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}
    version = ask("GET", f"{JOBS}/{done}").json()["updated_at"]
    put(ask, done, ("CTV", "minor", "lower end"))
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()} == before
    assert ask("GET", f"{JOBS}/{done}").json()["updated_at"] == version


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (("Liver", "minor", ""), "unknown-structure"),
        (("CTV", "excellent", ""), "invalid-request"),
        (("CTV", "minor", "x" * 2001), "invalid-request"),
        (("CTV", "minor", "\x00"), "invalid-request"),
    ],
)
def test_what_means_nothing_is_refused_whole(ask, done, verdict, code):
    answer = put(ask, done, ("Bladder", "minor", ""), verdict)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert ask("GET", f"{JOBS}/{done}/verdict").json()["history"] == []


def test_there_is_no_verdict_on_what_has_no_contours(ask, series_zip):
    job = ask.upload(series_zip).json()["id"]
    assert ask("GET", f"{JOBS}/{job}/verdict").json()["structures"] == []
    answer = put(ask, job, ("CTV", "minor", ""))
    assert (answer.status_code, answer.json()["code"]) == (409, "no-contours")


def test_readers_give_none_and_submitters_only_on_their_own(as_role, done):
    assert put(as_role(Role.VIEW), done, ("CTV", "minor", "")).json()["code"] == "role-too-weak"
    assert put(as_role(Role.SUBMIT), done, ("CTV", "minor", "")).json()["code"] == "job-not-found"


def exported(ask, settings, path, **options):
    with ask.app.state.parts.database.read() as session, path.open("w", newline="") as stream:
        write_csv(session, stream, settings, **options)
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_holds_what_counts_beside_what_penumbra_had_said(ask, done, settings, tmp_path):
    put(ask, done, ("CTV", "usable-as-is", ""), ("Bladder", "minor", ""))
    put(ask, done, ("CTV", "major", '=HYPERLINK("http://x")'), ("Bladder", None, ""))
    (row,) = exported(ask, settings, tmp_path / "v.csv")
    assert (row["structure"], row["grade"], row["quality"], row["band_p95_mm"]) == (
        "CTV",
        "major",
        "0.91",
        "15",
    )
    assert row["note"].startswith("'=")  # no spreadsheet runs it
    assert (row["job_id"], row["bundle"], row["reviewer_name"]) == (done, "phantom-small", "this machine")
    everything = exported(ask, settings, tmp_path / "all.csv", with_history=True)
    assert [r["grade"] for r in everything] == ["usable-as-is", "minor", "major", "taken-back"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL is asked for a turn besides
def test_the_table_is_one_question_however_many_verdicts(ask, done, settings, tmp_path):
    for note in ("a", "b", "c"):
        put(ask, done, ("CTV", "major", note), ("Bladder", "minor", note))
    asked = []
    engine = ask.app.state.parts.database.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    rows = exported(ask, settings, tmp_path / "v.csv")
    assert [(row["structure"], row["note"]) for row in rows] == [("CTV", "c"), ("Bladder", "c")]
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1


def test_the_command_writes_the_table_and_is_noted(ask, done, settings, tmp_path, monkeypatch):
    put(ask, done, ("CTV", "minor", "lower end"))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "verdicts.csv"
    assert "1 verdict written" in CliRunner().invoke(cli.app, ["verdicts", "export", str(out)]).output
    assert "lower end" in out.read_text()
    assert [e.action for e in log_of(ask)][-1] == "verdicts-exported"
    assert (
        CliRunner().invoke(cli.app, ["verdicts", "export", str(out)]).exit_code == 2
    )  # it is not overwritten
