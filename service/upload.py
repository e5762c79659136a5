"""Multipart bodies, streamed to disk: a series of any size costs a megabyte of memory.

A part's file name and content type are not looked at; what a part is, its first bytes say. Staged files are
called `part-000001` and so on.
"""

import errno
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from service.inbox import OutOfSpace
from service.problems import Problem
from service.settings import ServiceSettings

STAGING_NAME = "uploads"
MAX_FILES = 5_000
MAX_FIELDS = 16
MAX_FIELD_BYTES = 4096
CHUNK_BYTES = 2**20
STALE_S = 3600.0  # a staging folder older than this was left by a process that died


@dataclass
class Form:
    """What a multipart body held.

    Attributes:
        files: staged files in the order sent.
        fields: the other parts, by name; the last one wins.
    """

    files: list[Path] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


@contextmanager
def staging_folder(root: Path) -> Iterator[Path]:
    """A new private folder below `root`, gone when the block ends; what dead processes left is swept."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.iterdir():
        if time.time() - old.stat().st_mtime > STALE_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = root / uuid.uuid4().hex
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def staged(settings: ServiceSettings, declared_bytes: int) -> Iterator[Path]:
    """A staging folder for a body of that length; it lies on the disk twice for a moment.

    Raises:
        OutOfSpace: too little would stay free, or the disk was full meanwhile.
    """
    require_space(settings, 2 * declared_bytes)
    try:
        with staging_folder(settings.data_dir / STAGING_NAME) as folder:
            yield folder
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise OutOfSpace from error


def require_space(settings: ServiceSettings, needed_bytes: int) -> None:
    """Refuse a body that would fill the disk: it lies there twice for a moment, as it came and in the inbox.

    Raises:
        OutOfSpace: too little would stay free.
    """
    if shutil.disk_usage(settings.data_dir).free - needed_bytes < settings.min_free_bytes:
        raise OutOfSpace


async def read_form(body: AsyncIterator[bytes], content_type: str, folder: Path) -> Form:
    """Write the files of a form below `folder` while it arrives.

    Raises:
        Problem: not multipart/form-data, malformed, too many parts, no space left.
    """
    return await _read(body, _FormParser(content_type, folder))


async def read_related(
    body: AsyncIterator[bytes], content_type: str, folder: Path, *, media_type: str
) -> Form:
    """Write the parts of a multipart/related body (RFC 2387) below `folder` while it arrives; each is a file.

    Raises:
        Problem: parts of another type than `media_type`, malformed, too many, no space left.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/related" or options.get(b"type", b"").lower() != media_type.encode():
        raise _other_media_type(media_type)
    return await _read(body, _RelatedParser(content_type, folder))


async def _read(body: AsyncIterator[bytes], parser: "_FormParser") -> Form:
    try:
        pending = bytearray()
        async for chunk in body:
            pending += chunk
            if len(pending) >= CHUNK_BYTES:
                await run_in_threadpool(parser.feed, bytes(pending))
                pending.clear()
        await run_in_threadpool(parser.feed, bytes(pending))
        return parser.finish()
    except FormParserError as error:
        raise _malformed() from error
    finally:
        parser.close()


class _FormParser:
    """python-multipart's callbacks, writing to files and fields as the bytes come."""

    kind = b"multipart/form-data"

    def __init__(self, content_type: str, folder: Path) -> None:
        kind, options = parse_options_header(content_type)
        if kind != self.kind or b"boundary" not in options:
            raise _malformed()
        self._folder = folder
        self._form = Form()
        self._file: BinaryIO | None = None
        self._field_name = ""
        self._field_value = bytearray()
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._is_complete = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> None:
        self._parser.write(data)

    def finish(self) -> Form:
        self._parser.finalize()
        if not self._is_complete:
            raise _malformed()
        return self._form

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_part_begin(self) -> None:
        self._header_name = self._header_value = self._disposition = b""
        self._field_name = ""
        self._field_value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" in options:
            self._begin_file()
            return
        if len(self._form.fields) >= MAX_FIELDS:
            raise _too_many("fields", MAX_FIELDS)
        self._field_name = options.get(b"name", b"").decode("utf-8", "replace")

    def _begin_file(self) -> None:
        if len(self._form.files) >= MAX_FILES:
            raise _too_many("files", MAX_FILES)
        path = self._folder / f"part-{len(self._form.files) + 1:06d}"
        self._form.files.append(path)
        self._file = path.open("xb")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
            return
        self._field_value += data[start:end]
        if len(self._field_value) > MAX_FIELD_BYTES:
            raise _too_many("bytes in one field", MAX_FIELD_BYTES)

    def _on_part_end(self) -> None:
        if self._file is not None:
            self.close()
            return
        self._form.fields[self._field_name] = self._field_value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._is_complete = True


class _RelatedParser(_FormParser):
    """Every part is a file, whatever its headers say."""

    kind = b"multipart/related"

    def _on_headers_finished(self) -> None:
        self._begin_file()


def _other_media_type(media_type: str) -> Problem:
    return Problem(
        415,
        "unsupported-media-type",
        detail="The body's Content-Type is not what is taken here.",
        remedy=f'Send multipart/related; type="{media_type}".',
    )


def _malformed() -> Problem:
    return Problem(
        400,
        "malformed-form",
        detail="The body is not a complete multipart body.",
        remedy="Send it as `curl -F file=@series.zip` does.",
    )


def _too_many(what: str, limit: int) -> Problem:
    return Problem(
        413,
        "too-large",
        detail=f"The form has more than {limit} {what}.",
        remedy="Send one series per request, as a zip or as its DICOM files.",
        headers={"Connection": "close"},
    )
