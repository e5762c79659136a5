"""Who may ask: this machine, our own page, whoever has the token. What every answer forbids a browser."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from service.app import create_app
from service.settings_access import RateSettings

TOKEN = "a-long-token"
CLOSED = [
    "/api/v1/jobs",
    "/api/v1/bundles",
    "/api/v1/events",
    "/api/v1/openapi.json",
    "/api/v1/nothing",
    "/dicomweb",
]
OPEN = ["/", "/bundles", "/system", "/static/shell.js", "/static/page.css", "/healthz", "/readyz", "/metrics"]


@pytest.fixture(scope="module")
def locked(ask_shared):
    patient = RateSettings(refusals="1000/minute")
    update = {"api_token": SecretStr(TOKEN), "rates": patient}
    settings = ask_shared.app.state.parts.settings.model_copy(update=update)
    return replace(ask_shared, app=create_app(settings))


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_without_the_right_token_nothing_is_told(locked, path, header) -> None:
    answer = locked("GET", path, headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "token-needed")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", OPEN)
def test_the_frame_and_the_monitors_need_no_token(locked, path) -> None:
    assert locked("GET", path).status_code == 200


def test_with_the_token_everything_is_open(locked, series_zip) -> None:
    locked = replace(locked, headers={"Authorization": f"Bearer {TOKEN}"})
    assert locked.upload(series_zip).status_code == 202
    assert len(locked("GET", "/api/v1/jobs").json()["jobs"]) == 1


def test_with_a_token_other_host_names_are_fine(locked) -> None:
    assert locked("GET", "/healthz", headers={"Host": "penumbra.clinic.example"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(ask_shared, host) -> None:
    answer = ask_shared("GET", "/api/v1/jobs", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown-host")


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"])
def test_this_machine_has_several_names(ask_shared, host) -> None:
    assert ask_shared("GET", "/api/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"},
    ],
)
def test_pages_of_other_origins_cannot_post(ask_shared, headers) -> None:
    answer = ask_shared("POST", "/api/v1/jobs", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-origin")


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://127.0.0.1:8080"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_programs_and_our_own_page_can_post(ask_shared, headers) -> None:
    assert ask_shared("POST", "/api/v1/jobs", json={}, headers=headers).json()["code"] == "invalid-request"


@pytest.mark.parametrize("path", [*CLOSED[:2], *OPEN, "/nothing"])
def test_every_answer_is_fenced(ask_shared, path) -> None:
    headers = ask_shared("GET", path).headers
    assert headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store")


def test_wrong_methods_are_problems_too(ask_shared) -> None:
    answer = ask_shared("PUT", "/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]
