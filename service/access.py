"""Who may ask: host, origin and bearer token of every request, and the headers that every answer carries."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.actor import Actor, acting
from service.gate import COOKIE, FORM_HEADER, Asked, Gate
from service.problems import Problem
from service.roles import READING
from service.settings_access import LOOPBACK_NAMES

# Open without a token: the empty pages, their scripts and styles, and what a monitor asks. No job, no series.
OPEN_PATHS = frozenset({"/", "/bundles", "/system", "/healthz", "/readyz", "/metrics"}) | {
    "/auth/login",
    "/auth/callback",
}
OPEN_PAGE = re.compile(r"/jobs/[0-9a-f-]{36}")
OPEN_PREFIX = "/static/"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}


class AccessControl:
    """ASGI middleware that lets a request through or answers with a problem.

    As long as no token is asked for the API is meant for this machine alone: the Host header must then name it,
    or a web page elsewhere could reach us by pointing its own name at 127.0.0.1 (DNS rebinding). A POST that a
    browser sends for another origin is refused in any case. Everything outside `OPEN_PATHS` is the gate's.
    """

    def __init__(self, app: ASGIApp, *, gate: Gate, host_names: Iterable[str] = ()) -> None:
        self.app = app
        self.gate = gate
        self.host_names = LOOPBACK_NAMES | {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            visitor = self._visitor(scope)
            actor = await run_in_threadpool(self._judge, scope) if visitor is None else visitor
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        with acting(actor):
            await self.app(scope, receive, send)

    def _visitor(self, scope: Scope) -> Actor | None:
        """Whoever reads what is open, at a name that is ours: nothing to look up, so no thread is needed."""
        asked = asked_of(scope)
        is_plain = self._is_here(scope) and asked.method in READING and is_open(asked.path)
        return anybody(asked) if is_plain else None

    def _judge(self, scope: Scope) -> Actor:
        headers, asked = Headers(scope=scope), asked_of(scope)
        if not self._is_here(scope) and not self.gate.is_locked():
            raise self.gate.refused(asked, UNKNOWN_HOST)
        if asked.method not in READING and is_cross_origin(headers):
            raise self.gate.refused(asked, CROSS_ORIGIN)
        return anybody(asked) if is_open(asked.path) else self.gate.admit(asked)

    def _is_here(self, scope: Scope) -> bool:
        return host_name(Headers(scope=scope).get("host", "")) in self.host_names


UNKNOWN_HOST = Problem(
    421,
    "unknown-host",
    detail="This API answers on this machine only.",
    remedy="Use http://127.0.0.1, or set PENUMBRA_API_TOKEN and connect with it.",
)
CROSS_ORIGIN = Problem(
    403,
    "cross-origin",
    detail="A page of another origin may not change anything here.",
    remedy="Send the request from Penumbra's own page or from a program.",
)


def asked_of(scope: Scope) -> Asked:
    """What the gate needs to know of a request."""
    headers = Headers(scope=scope)
    scheme, _, given = headers.get("authorization", "").partition(" ")
    client = scope.get("client")
    return Asked(
        method=scope["method"],
        path=scope["path"],
        address="" if client is None else str(client[0]),
        bearer=given.strip() if scheme.lower() == "bearer" else None,
        cookie=cookie_parser(headers.get("cookie", "")).get(COOKIE),
        form_token=headers.get(FORM_HEADER),
    )


def anybody(asked: Asked) -> Actor:
    """Whoever asks for what is open."""
    return Actor(kind="local", name="anybody", address=asked.address)


def is_open(path: str) -> bool:
    """Whether `path` is served without a token."""
    is_page = path in OPEN_PATHS or OPEN_PAGE.fullmatch(path) is not None
    return is_page or path.startswith(OPEN_PREFIX)


def host_name(host: str) -> str:
    """The name in a Host header: no port, no brackets, lower case; "" where it is malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_cross_origin(headers: Headers) -> bool:
    """Whether a browser says that another site's page sent this request (Fetch metadata, else Origin)."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class SecurityHeaders:
    """ASGI middleware: the browser-side fences on every answer; answers with data are never cached."""

    def __init__(self, app: ASGIApp, *, is_https: bool = False) -> None:
        self.app = app
        self.headers = SECURITY_HEADERS | (STRICT_TRANSPORT if is_https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_static = scope["path"].startswith(OPEN_PREFIX)

        async def fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                # Static files without a version are revalidated by ETag; all else may speak of a patient's series.
                if not is_static:
                    headers["Cache-Control"] = "no-store"
                elif "Cache-Control" not in headers:
                    headers["Cache-Control"] = "no-cache"
            await send(message)

        await self.app(scope, receive, fenced)
