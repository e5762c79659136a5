"""No request body is read beyond its limit, whatever its Content-Length says."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Problem

Limit = Callable[[Scope], int]


class BodyLimit:
    """ASGI middleware: 413 for a body over `limit(scope)` bytes, at once where its length is declared."""

    def __init__(self, app: ASGIApp, limit: Limit) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit(scope)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > limit:
            await _too_large(limit).response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, counted, send)


def _too_large(limit: int) -> Problem:
    # The rest of the body is not wanted: closing the connection keeps the server from having to read it.
    return Problem(
        413,
        "too-large",
        detail=f"The request body is larger than the {limit} bytes allowed here.",
        remedy="Send one series per request, or raise the upload limit in the settings.",
        headers={"Connection": "close"},
    )
