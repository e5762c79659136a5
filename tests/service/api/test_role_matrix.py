"""Every REST operation tried by everybody: without a token, with wrong ones, and in every role.

The operations come from the OpenAPI description, so a new route is tried as soon as it exists. What comes out is
the table in docs/users/access.md; where it differs, run this file with PENUMBRA_WRITE_DOCS=1 and look at the change.
"""

import asyncio
import contextlib
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.app import create_app
from service.roles import Role
from service.settings_access import RateSettings
from service.tokens import Tokens

PAGE = Path(__file__).parents[3] / "docs" / "users" / "access.md"
BEGIN, END = "<!-- made by tests/service/api/test_role_matrix.py -->", "<!-- end -->"
EVERY = RateSettings(refusals="100000/minute", requests="100000/minute", changes="100000/minute")
ADMIN_TOKEN = "the-token-of-the-settings"
JOB = "00000000-0000-4000-8000-000000000000"
STREAMS = {"/api/v1/events"}  # answers for ever; its head is enough
UNLISTED = [
    ("GET", "/"),
    ("GET", "/bundles"),
    ("GET", "/system"),
    ("GET", "/static/shell.js"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/nothing"),
]
UNLISTED += [("POST", "/api/v1/nothing"), ("DELETE", "/api/v1/jobs")]


@pytest.fixture(scope="module")
def app(ask_shared):
    settings = ask_shared.app.state.parts.settings.model_copy(
        update={"api_token": SecretStr(ADMIN_TOKEN), "rates": EVERY}
    )
    return create_app(settings)


@pytest.fixture(scope="module")
def keys(app):
    """What each sends as `Authorization`."""
    tokens = Tokens(app.state.parts.database)
    made = {role: tokens.create(role)[1] for role in Role}
    void, expired = tokens.create(Role.ADMIN), tokens.create(Role.ADMIN, days=1e-9)[1]
    tokens.revoke(void[0].id)
    other = made[Role.ADMIN]
    return {
        "nobody": [
            None,
            f"Bearer {void[1]}",
            f"Bearer {expired}",
            f"Bearer {other[:-3]}AAA",
        ],
        **{role: [f"Bearer {text}"] for role, text in made.items()},
    }


def operations(app):
    described = app.openapi()["paths"]
    listed = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return [*UNLISTED, *listed]


class Hung(Exception):
    """The head of the answer is there; the rest is not wanted."""


async def status_of(app, method, path, header):
    """The status of one request, without waiting for a stream's end."""
    target = re.sub(r"\{job_id\}", JOB, path)
    target = re.sub(r"\{\w*uid\}", "2.25.1", target)
    target = re.sub(r"\{\w+(:\w+)?\}", "1", target)
    found = {}

    async def send(message):
        if message["type"] == "http.response.start":
            found["status"] = message["status"]
            raise Hung

    bodies = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(bodies, {"type": "http.disconnect"})

    headers = [(b"host", b"127.0.0.1")] + ([] if header is None else [(b"authorization", header.encode())])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 1),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }
    with contextlib.suppress(Hung):
        await asyncio.wait_for(app(scope, receive, send), 30)
    return found["status"]


def is_let_in(app, method, path, headers):
    statuses = {asyncio.run(status_of(app, method, path, header)) for header in headers}
    assert statuses <= {401} or statuses <= {403} or not statuses & {401, 403}, (method, path, statuses)
    return not statuses & {401, 403}


@pytest.fixture(scope="module")
def tried(app, keys):
    """(method, path) -> who was let in."""
    return {
        operation: [who for who, headers in keys.items() if is_let_in(app, *operation, headers)]
        for operation in operations(app)
    }


OPEN = {"/", "/bundles", "/system", "/static/shell.js", "/healthz", "/readyz", "/metrics"}
OPEN_PREFIXES = ("/auth/",)
ONES_OWN = ("POST", "/api/v1/session/logout")


def test_strangers_get_the_frame_and_the_monitors_only(tried):
    assert len(tried) > 20
    let_in = {path for (_, path), who in tried.items() if "nobody" in who}
    assert {path for path in let_in if not path.startswith(OPEN_PREFIXES)} == OPEN & {p for _, p in tried}


def test_viewers_change_nothing(tried):
    changing = [key for key in tried if key[0] not in {"GET", "HEAD"} and key != ONES_OWN]
    assert len(changing) > 5 and not [key for key in changing if "view" in tried[key]]


def test_only_administrators_touch_tokens_and_the_log(tried):
    kept = [key for key in tried if re.match("/api/v1/(tokens|audit)", key[1])]
    assert len(kept) >= 4 and all(tried[key] == ["admin"] for key in kept)


def test_administrators_may_all(tried):
    assert not [key for key, who in tried.items() if "admin" not in who]


def table(tried):
    roles = ["nobody", *Role]
    lines = ["| entrance | " + " | ".join(["no token", *Role]) + " |", "|---|" + "---|" * len(roles)]
    own = re.compile(r"/api/v1/(jobs|events|patients)")
    for (method, path), who in sorted(tried.items(), key=lambda each: (each[0][1], each[0][0])):
        if path.endswith("/nothing") or (method, path) == ("DELETE", "/api/v1/jobs"):
            continue
        cells = ["yes" if role in who else "no" for role in roles]
        if "submit" in who and own.match(path) and (method, path) != ("POST", "/api/v1/jobs"):
            cells[1] = "own"
        lines.append(f"| `{method} {path}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_table_in_the_docs_is_what_was_tried(tried, documented):
    documented(PAGE, table(tried), between=(BEGIN, END))
