"""Who may only submit sees their own jobs and nobody else's; what is asked for is in the audit log, once."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from service import audit_access
from service.app import create_app, run_api
from service.audit_chain import events, verify
from service.gate import OpenDoor
from service.roles import Role
from service.settings_access import RateSettings
from service.tokens import Tokens

JOBS = "/api/v1/jobs"


@pytest.fixture
def tokens(ask):
    return Tokens(ask.app.state.parts.database)


@pytest.fixture
def as_role(ask, tokens):
    """Ask with a new token of that role."""

    def make(role):
        _, text = tokens.create(role)
        return replace(ask, headers={"Authorization": f"Bearer {text}"})

    return make


@pytest.fixture
def log(ask):
    def read():
        with ask.app.state.parts.database.read() as session:
            assert verify(session, []).is_whole
            return list(events(session))

    return read


def test_the_first_token_closes_the_door_and_the_last_one_does_not_open_it_again(ask, tokens):
    assert ask("GET", JOBS).status_code == 200
    token, _ = tokens.create(Role.VIEW)
    assert ask("GET", JOBS).status_code == 401
    tokens.revoke(token.id)
    assert ask("GET", JOBS).status_code == 401


def test_a_revoked_token_is_refused_at_the_next_request(as_role, tokens):
    asking = as_role(Role.VIEW)
    assert asking("GET", JOBS).status_code == 200
    tokens.revoke(tokens.list()[0].id)
    assert asking("GET", JOBS).json()["code"] == "token-needed"


def test_submitters_see_their_own_jobs_only(as_role, series_zip, pack, other_series):
    one, two, viewer = as_role(Role.SUBMIT), as_role(Role.SUBMIT), as_role(Role.VIEW)
    mine = one.upload(series_zip).json()
    theirs = two.upload(pack({f"{n}.dcm": data for n, data in enumerate(other_series)})).json()
    assert [job["id"] for job in one("GET", JOBS).json()["jobs"]] == [mine["id"]]
    assert len(viewer("GET", JOBS).json()["jobs"]) == 2
    for path in ("", "/events", "/rtstruct", "/result", "/preview", "/objects"):
        answer = one("GET", f"{JOBS}/{theirs['id']}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found"), path
    for action in ("cancel", "retry"):
        assert one("POST", f"{JOBS}/{theirs['id']}/{action}").json()["code"] == "job-not-found"
    assert two("GET", f"{JOBS}/{theirs['id']}").json()["state"] == "queued"
    assert one("POST", f"{JOBS}/{mine['id']}/cancel").json()["state"] == "cancelled"


def test_equal_submissions_are_one_job_that_both_may_see(as_role, series_zip):
    one, two = as_role(Role.SUBMIT), as_role(Role.SUBMIT)
    first, second = one.upload(series_zip).json(), two.upload(series_zip).json()
    assert first["id"] == second["id"]
    assert (
        two("GET", f"{JOBS}/{first['id']}").status_code
        == one("GET", f"{JOBS}/{first['id']}").status_code
        == 200
    )


def test_a_series_uid_is_no_key_to_others_contours(as_role, series_zip, series):
    one, two = as_role(Role.SUBMIT), as_role(Role.SUBMIT)
    job = one.upload(series_zip).json()
    named = {"series_instance_uid": job["series_instance_uid"], "passes": 3}
    answer = two("POST", JOBS, json=named)
    assert (answer.status_code, answer.json()["code"]) == (403, "series-of-others")
    assert two.upload(series[0]).json()["code"] == "series-of-others"  # one slice of it is not enough
    assert two("GET", JOBS).json()["jobs"] == []
    assert one("POST", JOBS, json=named).status_code == 202  # whose it is may run it again
    assert as_role(Role.OPERATE)("POST", JOBS, json=named).status_code == 202


def test_the_stream_of_all_changes_shows_own_jobs_only(
    as_role, series_zip, pack, other_series, settings, free_port
):
    """A real server, since the stream has no end."""
    one, two = as_role(Role.SUBMIT), as_role(Role.SUBMIT)
    environment = settings.model_copy(update={"api_port": free_port}).environment()
    code = "from service import app, settings; app.run_api(settings.ServiceSettings())"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | environment)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", free_port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        url = f"http://127.0.0.1:{free_port}/api/v1/events"
        with httpx.stream("GET", url, headers=one.headers, timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: ready"
            theirs = two.upload(series_zip).json()["id"]
            mine = one.upload(pack({f"{n}.dcm": data for n, data in enumerate(other_series)})).json()["id"]
            told = next(line for line in lines if line.startswith("data: ") and '"id"' in line)
            assert mine in told and theirs not in told
    finally:
        process.terminate()
        process.wait(60)


def actions(log):
    return [event.action for event in log()]


def test_every_action_is_one_event_that_names_who(ask, as_role, tokens, series_zip, worker, log):
    operator = as_role(Role.OPERATE)
    who = f"token:{tokens.list()[0].id}"
    job = operator.upload(series_zip).json()
    before = len(log())
    assert [(e.action, e.actor) for e in log()][1:] == [("received", who), ("submitted", who)]
    assert {e.series_uid for e in log()[1:]} == {job["series_instance_uid"]}
    operator("POST", f"{JOBS}/{job['id']}/cancel")
    operator("POST", f"{JOBS}/{job['id']}/cancel")  # nothing left to do, so nothing to tell
    operator("POST", f"{JOBS}/{job['id']}/retry")
    worker.run(job["id"])
    said = [(e.action, e.actor, e.job_id) for e in log()[before:]]
    assert said == [
        ("job-ended", who, job["id"]),
        ("cancel-asked", who, job["id"]),
        ("retried", who, job["id"]),
        ("job-ended", "system:penumbra", job["id"]),
    ]


@pytest.mark.parametrize("what", ["rtstruct", "result", "preview", "objects/rtstruct.dcm"])
def test_a_download_is_one_event_and_asking_in_vain_is_none(ask, as_role, series_zip, worker, log, what):
    operator = as_role(Role.OPERATE)
    job = operator.upload(series_zip).json()
    assert operator("GET", f"{JOBS}/{job['id']}/{what}").status_code == 404
    worker.run(job["id"])
    before = len(log())
    answer = operator("GET", f"{JOBS}/{job['id']}/{what}")
    operator("GET", f"{JOBS}/{job['id']}/{what}", headers={"If-None-Match": answer.headers["etag"]})
    assert answer.status_code == 200
    (event,) = log()[before:]
    assert (event.action, event.subject, event.series_uid) == ("downloaded", what, job["series_instance_uid"])


def test_nothing_is_handed_out_that_cannot_be_noted(ask, series_zip, worker, monkeypatch):
    job = ask.upload(series_zip).json()
    worker.run(job["id"])

    def broken(*_args, **_about):
        raise OperationalError("", {}, Exception())

    monkeypatch.setattr(audit_access.audit, "record", broken)
    answer = ask("GET", f"{JOBS}/{job['id']}/rtstruct")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_refusal_is_noted_at_once_and_its_like_only_counted(as_role, log):
    viewer = as_role(Role.VIEW)
    for _ in range(20):
        assert viewer("POST", JOBS, json={}).json()["code"] == "role-too-weak"
    (event,) = [e for e in log() if e.action == "refused"]
    assert (event.role, event.outcome, json.loads(event.detail)["code"]) == (
        "view",
        "failure",
        "role-too-weak",
    )


def test_reading_the_log_is_an_event(as_role, log):
    admin = as_role(Role.ADMIN)
    listed = admin("GET", "/api/v1/audit").json()["events"]
    assert [event["action"] for event in listed] == ["token-created"]
    assert actions(log) == ["token-created", "audit-read"]
    assert admin("GET", "/api/v1/audit?after=1").json()["events"][0]["action"] == "audit-read"


def test_tokens_over_rest(as_role, ask):
    admin = as_role(Role.ADMIN)
    made = admin("POST", "/api/v1/tokens", json={"role": "submit", "label": "night", "days": 3}).json()
    assert replace(ask, headers={"Authorization": f"Bearer {made['token']}"})("GET", JOBS).status_code == 200
    listed = admin("GET", "/api/v1/tokens").json()["tokens"]
    assert {token["label"] for token in listed} == {"night", ""}
    assert made["token"] not in json.dumps(listed)
    assert admin("POST", f"/api/v1/tokens/{made['id']}/revoke").json()["state"] == "revoked"
    assert admin("POST", "/api/v1/tokens", json={"role": "king"}).status_code == 422
    assert admin("POST", "/api/v1/tokens/000000000000/revoke").status_code == 404


def limited(ask, **limits):
    settings = ask.app.state.parts.settings.model_copy(update={"rates": RateSettings(**limits)})
    return replace(ask, app=create_app(settings))


def test_too_many_requests_wait_and_others_do_not(ask, as_role):
    ask = limited(ask, requests="3/hour")
    one, two = (replace(as_role(Role.VIEW), app=ask.app) for _ in range(2))
    answers = [one("GET", JOBS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert two("GET", JOBS).status_code == 200


def test_changes_have_a_limit_of_their_own(ask, as_role):
    operator = replace(as_role(Role.OPERATE), app=limited(ask, changes="1/hour").app)
    assert [operator("POST", JOBS, json={}).status_code for _ in range(2)] == [422, 429]
    assert operator("GET", JOBS).status_code == 200


def test_a_guesser_is_slowed_down_and_keeps_nobody_else_out(ask, as_role):
    viewer = as_role(Role.VIEW)
    ask = limited(ask, refusals="2/hour")
    assert [ask("GET", JOBS).status_code for _ in range(3)] == [401, 401, 429]
    assert replace(viewer, app=ask.app)("GET", JOBS).status_code == 200


def test_a_limit_that_says_nothing_is_refused():
    with pytest.raises(ValueError):
        RateSettings(requests="often")


def test_without_a_database_nobody_is_let_in_and_it_is_said(ask, as_role, monkeypatch):
    viewer = as_role(Role.VIEW)
    database = ask.app.state.parts.database
    database.dispose()
    path = ask.app.state.parts.settings.data_dir / "penumbra.sqlite"
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    answer = viewer("GET", JOBS)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert viewer("GET", "/healthz").status_code == 200


def test_penumbra_does_not_start_open_to_the_network(settings):
    with pytest.raises(OpenDoor):
        run_api(settings.model_copy(update={"api_host": "0.0.0.0", "api_port": 0}))
    environment = settings.model_copy(
        update={"api_host": "0.0.0.0", "api_port": 0, "dicom_port": 0}
    ).environment()
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "penumbra token create" in done.stderr
