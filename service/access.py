"""Who may ask: host, origin and bearer token of every request, and the headers that every answer carries."""

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Open without a token: the empty page, its script and style, and what a monitor asks. No job, no series.
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/metrics"})
OPEN_PREFIX = "/static/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AccessControl:
    """ASGI middleware that lets a request through or answers with a problem.

    Without a token the API is meant for this machine alone: the Host header must then name it, or a web page
    elsewhere could reach us by pointing its own name at 127.0.0.1 (DNS rebinding). With a token, everything
    outside `OPEN_PATHS` needs it. A POST that a browser sends for another origin is refused in both cases.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, host_names: Iterable[str] = ()) -> None:
        self.app = app
        self.token = token
        self.host_names = LOOPBACK_NAMES | {name.lower() for name in host_names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        problem = self._objection(scope)
        if problem is None:
            await self.app(scope, receive, send)
        else:
            await problem.response()(scope, receive, send)

    def _objection(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self.token is None and host_name(headers.get("host", "")) not in self.host_names:
            return Problem(
                421,
                "unknown-host",
                detail="This API answers on this machine only.",
                remedy="Use http://127.0.0.1, or set PENUMBRA_API_TOKEN and connect with it.",
            )
        if scope["method"] not in SAFE_METHODS and is_cross_origin(headers):
            return Problem(
                403,
                "cross-origin",
                detail="A page of another origin may not change anything here.",
                remedy="Send the request from Penumbra's own page or from a program.",
            )
        if self.token is not None and not is_open(scope["path"]) and not self._has_token(headers):
            return Problem(
                401,
                "token-needed",
                detail="This request needs Penumbra's API token.",
                remedy="Send it as `Authorization: Bearer …`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = (self.token or "").encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected)


def is_open(path: str) -> bool:
    """Whether `path` is served without a token."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


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

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_static = scope["path"].startswith(OPEN_PREFIX)

        async def fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                # Static files are revalidated by ETag; everything else may speak of a patient's series.
                headers["Cache-Control"] = "no-cache" if is_static else "no-store"
            await send(message)

        await self.app(scope, receive, fenced)
