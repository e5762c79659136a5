"""Errors as clients read them: RFC 9457 problem details with a stable `type`, `code` and a `remedy`."""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import place_of
from worker.errors import PenumbraError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:penumbra:problem:"
STATUS_BY_CODE = {
    "job-not-found": 404,
    "series-not-found": 404,
    "delivery-not-found": 404,
    "pull-not-found": 404,
    "nothing-found": 404,
    "archive": 502,
    "token-not-found": 404,
    "series-of-others": 403,
    "no-contours": 409,
    "no-pdf": 501,
    "state-conflict": 409,
    "conflicting-instance": 409,
    "unavailable": 503,
    "out-of-space": 507,
}
Headers = Mapping[str, str]


class Problem(Exception):
    """A refusal or failure that a client is told about.

    Args:
        status: HTTP status code.
        code: stable short name of the problem, e.g. "mixed-series"; `type` is made from it.
        detail: what happened, in one sentence, without patient data.
        remedy: what the client can do about it.
        extra: further members of the answer (RFC 9457 section 3.2).
        headers: HTTP headers to send along.
    """

    def __init__(
        self,
        status: int,
        code: str,
        *,
        detail: str,
        remedy: str = "",
        extra: Mapping[str, Any] | None = None,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.remedy = remedy
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer that carries this problem."""
        body = {
            "type": TYPE_PREFIX + self.code,
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "remedy": self.remedy,
            **self.extra,
        }
        return Response(json.dumps(body), self.status, self.headers, MEDIA_TYPE)


def from_penumbra_error(error: PenumbraError) -> Problem:
    """The domain's own reason; 422 unless the table says otherwise."""
    status = STATUS_BY_CODE.get(error.code, 422)
    return Problem(status, error.code, detail=error.message, remedy=error.remedy)


def database_away() -> Problem:
    """503: what was asked for needs the database, which does not answer (it restarts, or is locked)."""
    return Problem(
        503,
        "unavailable",
        detail="The database does not answer.",
        remedy="Try again; if it stays so, look at Penumbra's log and its host.",
        headers={"Retry-After": "5"},
    )


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem: ours, the domain's and the framework's."""
    app.add_exception_handler(Problem, _ours)
    app.add_exception_handler(PenumbraError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _framework)
    for away in (OperationalError, TimeoutError):
        app.add_exception_handler(away, _database)


async def _ours(_: Request, error: Exception) -> Response:
    return cast(Problem, error).response()


async def _domain(_: Request, error: Exception) -> Response:
    return from_penumbra_error(cast(PenumbraError, error)).response()


async def _database(_: Request, error: Exception) -> Response:
    log.warning("database unavailable", cause=type(error).__name__)
    return database_away().response()


async def _validation(_: Request, error: Exception) -> Response:
    return invalid_request(cast(RequestValidationError, error).errors()).response()


def invalid_request(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """422 that says where and why, from pydantic's error list; the rejected value itself is not echoed."""
    where = [{"where": _place(each), "why": str(each["type"])} for each in errors]
    return Problem(
        422,
        "invalid-request",
        detail="The request does not have the expected form.",
        remedy="See the members listed in `errors` and the API description at /api/v1/openapi.json.",
        extra={"errors": where},
    )


def _place(error: Mapping[str, Any]) -> str:
    # The name of a member that we do not know comes from the client, so it is not repeated either.
    known = error["loc"][:-1] if error["type"] == "extra_forbidden" else error["loc"]
    return ".".join(str(part) for part in known)


async def _framework(_: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    headers = cast(HTTPException, error).headers
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "-")
    return Problem(status, code, detail=f"{phrase}.", headers=headers).response()


class LastResort:
    """ASGI middleware at the request's boundary: what nobody foresaw becomes a 500 problem and a log line.

    The exception's text may hold a value out of a DICOM header, so its class and place are logged instead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - the one blind catch of a request, logged
            log.error(
                "request failed", method=scope["method"], cause=type(error).__name__, where=place_of(error)
            )
            if not started:
                await INTERNAL_ERROR.response()(scope, receive, send)


INTERNAL_ERROR = Problem(
    500,
    "internal-error",
    detail="Penumbra failed to answer this request.",
    remedy="Try again; if it happens again, look for `request failed` in the log.",
)
