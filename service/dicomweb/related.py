"""multipart/related answers (RFC 2387), written part by part: a study of any size costs the memory of one instance."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.responses import StreamingResponse

from service.dicomweb.media import RELATED


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of an answer."""

    content_type: str
    location: str
    body: bytes


def related(parts: Iterable[Part], media_type: str) -> StreamingResponse:
    """The answer that holds these parts; they are made while it is sent."""
    boundary = uuid.uuid4().hex
    content_type = f'{RELATED}; type="{media_type}"; boundary={boundary}'
    return StreamingResponse(_written(parts, boundary), headers={"Content-Type": content_type})


def _written(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    for part in parts:
        yield (
            f"--{boundary}\r\nContent-Type: {part.content_type}\r\nContent-Length: {len(part.body)}\r\n"
            f"Content-Location: {part.location}\r\n\r\n"
        ).encode()
        yield part.body
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
