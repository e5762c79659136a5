"""Deliveries over REST and on the command line."""

import json
import os
import subprocess
import sys

import pytest

from service.app import create_app
from service.settings import NodeSettings

DELIVERIES = "/api/v1/deliveries"


@pytest.fixture
def settings(settings):
    nodes = [NodeSettings(ae_title=name, host="127.0.0.1", port=1) for name in ("TPS", "ARCHIVE")]
    return settings.model_copy(update={"nodes": tuple(nodes), "deliver_to": ("TPS",)})


@pytest.fixture
def ask(settings, ask):
    ask.app = create_app(settings)
    return ask


@pytest.fixture
def done(ask, series, worker):
    job_id = ask.upload(*series).json()["id"]
    worker.run(job_id)
    return job_id


def test_deliveries_are_listed_and_sent_again(ask, done):
    (found,) = ask("GET", f"{DELIVERIES}?node=TPS&job={done}").json()["deliveries"]
    assert (found["state"], found["target"], found["remarks"]) == ("waiting", "TPS", [])
    again = ask("POST", found["links"]["resend"])
    assert (again.status_code, again.json()["job_id"]) == (202, done)
    assert ask("GET", f"{DELIVERIES}?state=failed").json() == {"deliveries": []}


def test_a_result_is_sent_to_a_further_node(ask, done):
    answer = ask("POST", f"/api/v1/jobs/{done}/deliveries", json={"node": "ARCHIVE"})
    assert (answer.status_code, answer.json()["node"]) == (202, "ARCHIVE")
    shown = ask("GET", f"/api/v1/jobs/{done}").json()["deliveries"]
    assert [each["node"] for each in shown] == ["ARCHIVE", "TPS"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", f"{DELIVERIES}/nonsense/resend", None, 404, "delivery-not-found"),
        (
            "POST",
            f"{DELIVERIES}/00000000-0000-0000-0000-000000000000/resend",
            None,
            404,
            "delivery-not-found",
        ),
        ("GET", f"{DELIVERIES}?state=lost", None, 422, "invalid-request"),
        ("POST", "/api/v1/jobs/{job}/deliveries", {"node": "STRANGER"}, 422, "unknown-node"),
        ("POST", "/api/v1/jobs/{job}/deliveries", {"node": "A\\B"}, 422, "invalid-request"),
    ],
)
def test_what_is_refused_says_why(ask, done, method, path, body, status, code):
    answer = ask(method, path.format(job=done), **({} if body is None else {"json": body}))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_command_line_lists_and_sends_again(settings, ask, done):
    environment = os.environ | settings.environment()

    def run(*arguments):
        command = [sys.executable, "-m", "service.cli", "deliveries", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    (found,) = ask("GET", DELIVERIES).json()["deliveries"]
    listed = run("list")
    assert listed.returncode == 0 and found["id"][:8] in listed.stdout and "waiting" in listed.stdout
    assert run("resend", found["id"][:8]).returncode == 0
    unknown = run("send", done, "STRANGER")
    assert (unknown.returncode, "No node of this AE title" in unknown.stderr) == (1, True)
    assert json.loads(settings.environment()["PENUMBRA_DELIVER_TO"]) == ["TPS"]
