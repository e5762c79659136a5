"""Pulls over REST and on the command line, with the errands of a running system behind them."""

import asyncio
import os
import subprocess
import sys
import threading

import httpx
import pytest

from service.app import create_app
from service.errands import start_errands

PULLS = "/api/v1/pulls"
SERIES = "1.2.826.0.1.3680043.10.999.6"


@pytest.fixture
def ask(settings, database):
    app = create_app(settings)

    def request(method, path, **options):
        async def send():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    return request


@pytest.fixture
def errands(settings, database):
    stop = threading.Event()
    start_errands(settings, database, stop)
    yield
    stop.set()


@pytest.fixture
def archived(orthanc, instance):
    def put(number):
        series_uid = f"{SERIES}.{number}"
        orthanc.take(*(instance(series_uid, slice_) for slice_ in (1, 2, 3)))
        return series_uid

    return put


def test_a_series_is_found_pulled_and_followed_over_rest(listener, ask, archived, errands, eventually):
    series_uid = archived(1)
    keys = {"node": "ORTHANC", "series_instance_uid": series_uid}
    (found,) = ask("POST", f"{PULLS}/find", json=keys).json()["series"]
    assert (found["instances"], found["modality"]) == (3, "CT")
    answer = ask("POST", PULLS, json=keys)
    (pull,) = answer.json()["pulls"]
    assert (answer.status_code, pull["announced"]) == (202, 3)

    def ended():
        seen = ask("GET", pull["links"]["self"]).json()
        return seen if seen["state"] == "done" else None

    assert eventually(ended, "the pull")["received"] == 3
    assert [each["id"] for each in ask("GET", f"{PULLS}?state=done").json()["pulls"]] == [pull["id"]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("", {"node": "STRANGER", "series_instance_uid": "1.2"}, 422, "unknown-node"),
        ("", {"node": "ORTHANC", "series_instance_uid": "1.2"}, 404, "nothing-found"),
        ("", {"node": "ORTHANC"}, 422, "invalid-request"),
        ("", {"node": "ORTHANC", "patient_id": "*"}, 422, "invalid-request"),
        ("/find", {"node": "GONE", "series_instance_uid": "1.2"}, 502, "archive"),
    ],
)
def test_what_is_refused_says_why(settings, node, database, path, body, status, code, monkeypatch):
    gone = node.model_copy(update={"ae_title": "GONE", "port": 1})
    app = create_app(settings.model_copy(update={"nodes": (node, gone)}))

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            return await client.post(f"{PULLS}{path}", json=body)

    answer = asyncio.run(send())
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_no_pull_of_that_id(ask):
    for pull_id in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        assert ask("GET", f"{PULLS}/{pull_id}").json()["code"] == "pull-not-found"


def test_the_command_line_pulls_and_says_how_many_came(listener, settings, archived, errands):
    series_uid = archived(2)
    command = [sys.executable, "-m", "service.cli", "pull", "ORTHANC", "--series", series_uid]
    environment = os.environ | settings.environment() | {"COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "3 of 3" in done.stdout) == (0, True), done.stderr
