"""The pages' scripts, styles and pictures: few and small, so they are read once and held.

Their addresses carry a version, which changes with any of them: what a browser has fetched it keeps and asks for no
more, until Penumbra is updated.
"""

import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER: Final = Path(__file__).parent / "static"
PATH: Final = "/static"
FOR_EVER: Final = "public, max-age=31536000, immutable"
_IMPORTED: Final = re.compile(r'^(?:import|export)\b[^;]*?"\./([\w-]+\.js)"', re.MULTILINE)


class PageFile(NamedTuple):
    """One of them."""

    content: bytes
    media_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """File name -> file, of all."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.is_file()}


@cache
def versioned_path() -> str:
    """Where they are, with the version of all of them."""
    all_etags = "".join(file.etag for file in page_files().values())
    return f"{PATH}/{hashlib.sha256(all_etags.encode()).hexdigest()[:12]}"


@cache
def modules_of(script: str) -> tuple[str, ...]:
    """The modules that a script imports, and those that these import, each once, the nearest first.

    A page names them all, so that the browser fetches them side by side and not one generation after the other.
    """
    found = [script]
    for module in found:  # grows while it is walked
        imported = _IMPORTED.findall(page_files()[module].content.decode())
        found += [name for name in imported if name not in found]
    return tuple(found[1:])


async def serve(request: Request) -> Response:
    """`/static/NAME`, to be asked for again each time, and `/static/VERSION/NAME`, to be kept."""
    folder, _, name = request.url.path.rpartition("/")
    file = page_files().get(name)
    is_here = folder.count("/") <= PATH.count("/") + 1
    if file is None or not is_here:
        raise HTTPException(404)
    headers = {"ETag": file.etag} | ({"Cache-Control": FOR_EVER} if folder == versioned_path() else {})
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
