"""Login with an identity provider: who comes in, as what, what the cookie is, and which answers are not believed.

The provider of the good cases is a real one (oidc-provider-mock, over a socket). One that lies is not to be had, so
that one is made here.
"""

import asyncio
import json
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from pydantic import SecretStr, ValidationError

from service.app import create_app
from service.audit_chain import events
from service.gate import COOKIE
from service.settings import ServiceSettings
from service.settings_access import OidcSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # the provider is made of deprecated parts

PAGE = "https://penumbra.test"
SECRET = "the-clients-secret-of-some-length"
GROUPS = {"physicists": "operate", "readers": "view", "it": "admin"}
USERS = [
    oidc_provider_mock.User(
        sub="alice", claims={"groups": ["readers", "physicists"], "preferred_username": "alice.a"}
    ),
    oidc_provider_mock.User(sub="vera", claims={"groups": ["readers"]}),
    oidc_provider_mock.User(sub="mallory", claims={"groups": ["cleaners"]}),
    oidc_provider_mock.User(sub="nemo", claims={}),
]


def oidc(to, **options):
    given = {
        "issuer": to,
        "client_id": "penumbra",
        "client_secret": SECRET,
        "public_url": PAGE,
        "roles": GROUPS,
    }
    return OidcSettings(**given | options)


@pytest.fixture(scope="module")
def provider():
    with oidc_provider_mock.run_server_in_thread(user_claims=USERS) as server:
        yield f"http://localhost:{server.server_port}"


@dataclass
class Browser:
    """Keeps cookies, follows nothing by itself."""

    app: object
    cookies: httpx.Cookies

    def __call__(self, method, path, **request):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=PAGE, cookies=self.cookies) as client:
                answer = await client.request(method, path, **request)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())

    def start(self):
        return self("GET", "/auth/login").headers["location"]

    def log_in(self, sub):
        answer = httpx.post(self.start(), data={"sub": sub})
        return self("GET", answer.headers["location"])

    @property
    def form(self):
        return {"X-Penumbra-Form": self("GET", "/api/v1/session").json()["form_token"]}


@pytest.fixture
def browser(settings, provider):
    def open_page(issuer=provider, **options):
        app = create_app(settings.model_copy(update={"oidc": oidc(issuer, **options)}))
        return Browser(app, httpx.Cookies())

    return open_page


def said(browser):
    with browser.app.state.parts.database.read() as session:
        return [(e.action, e.actor, e.role) for e in events(session)]


def test_who_logs_in_gets_the_strongest_role_that_the_groups_give(browser):
    browser = browser()
    assert browser("GET", "/api/v1/jobs").status_code == 401
    answer = browser.log_in("alice")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    session = browser("GET", "/api/v1/session").json()
    assert (session["kind"], session["name"], session["role"]) == ("session", "alice.a", "operate")
    assert browser("GET", "/api/v1/jobs").status_code == 200
    assert browser("GET", "/api/v1/tokens").json()["code"] == "role-too-weak"
    assert said(browser)[-2:] == [
        ("logged-in", "session:alice.a", "operate"),
        ("refused", "session:alice.a", "operate"),
    ]


def test_the_cookie_is_for_this_host_over_tls_and_out_of_scripts_reach(browser):
    browser = browser()
    given = browser.log_in("vera").headers.get_list("set-cookie")
    (cookie,) = [each for each in given if each.startswith(f"{COOKIE}=")]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/", "max-age=28800"} == attributes
    assert COOKIE.startswith("__Host-")
    value = re.match(rf"{COOKIE}=([\w-]{{43}});", cookie)[1]
    database = browser.app.state.parts.settings.data_dir / "penumbra.sqlite"
    assert value.encode() not in database.read_bytes()
    assert "max-age" in browser("GET", "/").headers["strict-transport-security"]


def test_a_change_needs_the_form_token_which_another_site_cannot_read(browser):
    browser = browser()
    browser.log_in("alice")
    form = browser.form
    assert browser("POST", "/api/v1/jobs", json={}).json()["code"] == "form-token-needed"
    wrong = {"X-Penumbra-Form": "0" * 64}
    assert browser("POST", "/api/v1/jobs", json={}, headers=wrong).json()["code"] == "form-token-needed"
    assert browser("POST", "/api/v1/jobs", json={}, headers=form).json()["code"] == "invalid-request"
    foreign = form | {"Origin": "https://evil.example"}
    assert browser("POST", "/api/v1/jobs", json={}, headers=foreign).json()["code"] == "cross-origin"


def test_logging_out_ends_every_copy_of_the_cookie(browser):
    browser = browser()
    browser.log_in("vera")
    copy = Browser(browser.app, httpx.Cookies(browser.cookies))
    assert browser("POST", "/api/v1/session/logout", headers=browser.form).status_code == 204
    assert COOKIE not in browser.cookies
    assert copy("GET", "/api/v1/jobs").status_code == 401
    assert said(browser)[-2:-1] == [("logged-out", "session:vera", "view")]


def test_a_wrong_bearer_is_not_made_good_by_a_cookie(browser):
    browser = browser()
    browser.log_in("alice")
    assert browser("GET", "/api/v1/jobs", headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_login_ends_by_itself(browser):
    browser = browser(hours=1e-6)
    browser.log_in("alice")
    time.sleep(0.01)
    assert browser("GET", "/api/v1/jobs").status_code == 401


def may_ask(browser):
    """Whether the review asks for its job before it knows who asks; if nobody does, each such request is a refusal."""
    page = browser("GET", "/jobs/00000000-0000-4000-8000-000000000000").text
    return 'data-may-ask="yes"' in page


def test_the_review_asks_early_for_those_only_who_are_logged_in(browser):
    browser = browser()
    assert not may_ask(browser)
    browser.log_in("vera")
    assert may_ask(browser)
    stranger = Browser(browser.app, httpx.Cookies({COOKIE: "x" * 43}))
    assert not may_ask(stranger)


@pytest.mark.parametrize("sub", ["mallory", "nemo"])
def test_who_is_in_no_group_stays_outside(browser, sub):
    browser = browser()
    assert browser.log_in(sub).headers["location"] == "/?login=refused"
    assert COOKIE not in browser.cookies
    assert [action for action, *_ in said(browser)] == ["refused"]


def test_a_callback_that_this_browser_did_not_begin_is_not_believed(browser):
    attacker = browser()
    stolen = httpx.post(attacker.start(), data={"sub": "alice"}).headers["location"]
    victim = Browser(attacker.app, httpx.Cookies())
    for path in (
        stolen,
        "/auth/callback?code=x&state=y",
        "/auth/callback",
        "/auth/callback?error=access_denied",
    ):
        assert victim("GET", path).headers["location"] == "/?login=refused"
    assert COOKIE not in victim.cookies
    assert attacker("GET", stolen).headers["location"] == "/"
    assert attacker("GET", stolen).headers["location"] == "/?login=refused"  # a code is good once


def test_a_provider_that_is_away_is_said(browser, free_port):
    answer = browser(f"http://localhost:{free_port}")("GET", "/auth/login")
    assert (answer.status_code, answer.json()["code"]) == (502, "provider-unavailable")


KEY, OTHER_KEY = (RSAKey.generate_key(2048, {"kid": "k"}) for _ in range(2))


class Liar(BaseHTTPRequestHandler):
    """A provider whose ID tokens are as the test wants them."""

    change: dict = {}  # noqa: RUF012
    header: dict = {}  # noqa: RUF012
    key: object = KEY

    def do_GET(self):
        base = f"http://localhost:{self.server.server_port}"
        if self.path == "/jwks":
            self.answer({"keys": [KEY.as_dict(private=False)]})
            return
        pages = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
        algorithms = ["RS256", "HS256", "none"]
        self.answer(
            {name: base + path for name, path in pages.items()}
            | {"issuer": base, "id_token_signing_alg_values_supported": algorithms}
        )

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        now = int(time.time())
        claims = {
            "iss": f"http://localhost:{self.server.server_port}",
            "aud": "penumbra",
            "sub": "liar",
            "iat": now,
            "exp": now + 60,
            "nonce": self.server.nonce,
            "groups": ["it"],
        } | type(self).change
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": "k"} | type(self).header
        algorithms = ["RS256", "HS256", "none"]
        token = jwt.encode(header, claims, type(self).key, algorithms=algorithms)
        self.answer({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def liar(browser, monkeypatch):
    server = ThreadingHTTPServer(("localhost", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def log_in(*, key=KEY, header=None, **change):
        monkeypatch.setattr(Liar, "key", key)
        monkeypatch.setattr(Liar, "header", header or {})
        monkeypatch.setattr(Liar, "change", change)
        opened = browser(f"http://localhost:{server.server_port}")
        sent = parse_qs(urlsplit(opened.start()).query)
        server.nonce = sent["nonce"][0]
        assert sent["code_challenge_method"] == ["S256"] and sent["response_type"] == ["code"]
        return opened("GET", f"/auth/callback?code=c&state={sent['state'][0]}").headers["location"]

    yield log_in
    server.shutdown()
    server.server_close()


def test_id_tokens_are_believed_when_all_of_it_is_right_and_only_then(liar):
    assert liar() == "/"
    past = int(time.time()) - 3600
    lies = {
        "another issuer": {"iss": "https://elsewhere.example"},
        "no issuer": {"iss": None},
        "for another client": {"aud": "other"},
        "for nobody": {"aud": None},
        "expired": {"exp": past},
        "for ever": {"exp": None},
        "another login's nonce": {"nonce": "x"},
        "no nonce": {"nonce": None},
        "another key": {"key": OTHER_KEY},
        "unsigned": {"header": {"alg": "none"}},
        "signed with the shared secret": {"header": {"alg": "HS256"}, "key": OctKey.import_key(SECRET)},
    }
    believed = [name for name, lie in lies.items() if liar(**lie) != "/?login=refused"]
    assert believed == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://id.example"},
        {"public_url": "http://penumbra.example"},
        {"client_secret": ""},
        {"roles": {}},
        {"roles": {"it": "king"}},
        {"hours": 0},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(wrong):
    with pytest.raises(ValidationError):
        oidc("https://id.example", **wrong)


def test_the_clients_secret_comes_from_a_file_goes_to_children_and_is_shown_nowhere(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("hidden-in-a-file\n")
    settings = ServiceSettings(
        data_dir=tmp_path,
        oidc=oidc("https://id.example", client_secret=SecretStr(""), client_secret_file=path),
    )
    assert "hidden" not in repr(settings)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    path.unlink()
    monkeypatch.delenv("PENUMBRA_OIDC")
    assert "hidden-in-a-file" in settings.environment()["PENUMBRA_OIDC"]
