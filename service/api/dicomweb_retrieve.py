"""WADO-RS: objects, their metadata, frames and binary values (PS3.18 10.4)."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from service.api.dicomweb_paths import ObjectDep, SeriesDep, StudyDep, base_url, note_access
from service.api.parts import PartsDep
from service.audit import Action
from service.dicomweb.headers import metadata_of
from service.dicomweb.holdings import HeldObject
from service.dicomweb.media import DICOM, DICOM_JSON, OCTETS, accepted, not_acceptable
from service.dicomweb.related import Part, related
from service.dicomweb.retrieve import MOST_FRAMES, Whole, bulk, frames, gone, no_such_frame
from service.instance_header import PARSER_ERRORS
from service.schemas import DICOMWEB_PATH

router = APIRouter(prefix=DICOMWEB_PATH, tags=["dicomweb"])

STUDY = "/studies/{study_uid}"
SERIES = f"{STUDY}/series/{{series_uid}}"
INSTANCE = f"{SERIES}/instances/{{instance_uid}}"
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The objects, one part each",
        "content": {"multipart/related": BINARY, DICOM: BINARY},
    }
}
METADATA: dict[int | str, dict[str, Any]] = {
    200: {"description": "Attributes without pixels", "content": {DICOM_JSON: {"schema": {"type": "array"}}}}
}
VALUES: dict[int | str, dict[str, Any]] = {
    200: {"description": "One part each", "content": {"multipart/related": BINARY, OCTETS: BINARY}}
}
FrameList = Annotated[str, Path(pattern=r"^[1-9]\d{0,5}(,[1-9]\d{0,5})*$", max_length=7 * MOST_FRAMES)]
Tag = Annotated[str, Path(pattern=r"^[0-9A-Fa-f]{8}$")]


@router.get(STUDY, response_class=Response, responses=FILES)
def retrieve_study(objects: StudyDep, request: Request, parts: PartsDep) -> Response:
    """Every object of a study: images that were received, and what was made from them."""
    return _files(request, parts, objects)


@router.get(SERIES, response_class=Response, responses=FILES)
def retrieve_series(objects: SeriesDep, request: Request, parts: PartsDep) -> Response:
    """Every object of a series."""
    return _files(request, parts, objects)


@router.get(INSTANCE, response_class=Response, responses=FILES)
def retrieve_instance(each: ObjectDep, request: Request, parts: PartsDep) -> Response:
    """One object."""
    return _files(request, parts, [each])


@router.get(f"{STUDY}/metadata", response_class=Response, responses=METADATA)
def study_metadata(objects: StudyDep, request: Request, parts: PartsDep) -> Response:
    """Attributes of every object of a study."""
    return _metadata(request, parts, objects)


@router.get(f"{SERIES}/metadata", response_class=Response, responses=METADATA)
def series_metadata(objects: SeriesDep, request: Request, parts: PartsDep) -> Response:
    """Attributes of every object of a series."""
    return _metadata(request, parts, objects)


@router.get(f"{INSTANCE}/metadata", response_class=Response, responses=METADATA)
def instance_metadata(each: ObjectDep, request: Request, parts: PartsDep) -> Response:
    """Attributes of one object."""
    return _metadata(request, parts, [each])


@router.get(f"{INSTANCE}/frames/{{numbers}}", response_class=Response, responses=VALUES)
def retrieve_frames(each: ObjectDep, numbers: FrameList, request: Request, parts: PartsDep) -> Response:
    """Frames of an image by number, from 1: `frames/1,2,3`."""
    wanted = [int(number) for number in numbers.split(",")]
    if len(wanted) > MOST_FRAMES:
        raise no_such_frame()
    found = frames(each, wanted, accepted(request.headers.get("accept")), _url(request, each))
    _note_download(parts, [each])
    return related(found, found[0].content_type.partition(";")[0])


@router.get(f"{INSTANCE}/bulkdata/{{tag}}", response_class=Response, responses=VALUES)
def retrieve_bulkdata(each: ObjectDep, tag: Tag, request: Request, parts: PartsDep) -> Response:
    """A large binary value, by the link that the metadata have for it."""
    ranges = [found for found in accepted(request.headers.get("accept")) if found.takes(OCTETS)]
    if not ranges:
        raise not_acceptable(OCTETS)
    value = bulk(each, int(tag, 16))
    _note_download(parts, [each])
    if ranges[0].kind == OCTETS:
        return Response(value, media_type=OCTETS)
    location = f"{_url(request, each)}/bulkdata/{tag}"
    return related([Part(content_type=OCTETS, location=location, body=value)], OCTETS)


def _files(request: Request, parts: PartsDep, objects: Sequence[HeldObject]) -> Response:
    whole = Whole.of(accepted(request.headers.get("accept")), objects)
    _note_download(parts, objects)
    if whole.is_single and len(objects) == 1:
        try:
            data, syntax = whole.file(objects[0])
        except OSError as error:
            raise gone() from error
        return Response(data, headers={"Content-Type": f"{DICOM}; transfer-syntax={syntax}"})
    return related(whole.parts(objects, base_url(request)), DICOM)


def _metadata(request: Request, parts: PartsDep, objects: Sequence[HeldObject]) -> Response:
    ranges = accepted(request.headers.get("accept"))
    if not any(each.takes(DICOM_JSON) or each.takes("application/json") for each in ranges):
        raise not_acceptable(DICOM_JSON)
    _note_download(parts, objects)
    return StreamingResponse(_json_array(request, objects), media_type=DICOM_JSON)


def _json_array(request: Request, objects: Sequence[HeldObject]) -> Iterator[str]:
    separator = "["
    for each in objects:
        try:
            text = json.dumps(metadata_of(each.path, _url(request, each)))
        except (*PARSER_ERRORS, OSError):
            continue
        yield separator + text
        separator = ","
    yield "[]" if separator == "[" else "]"


def _url(request: Request, each: HeldObject) -> str:
    return f"{base_url(request)}/studies/{each.study_uid}/series/{each.series_uid}/instances/{each.sop_uid}"


def _note_download(parts: PartsDep, objects: Sequence[HeldObject]) -> None:
    series = {each.series_uid for each in objects}
    note_access(
        parts,
        Action.DOWNLOADED,
        study_uid=objects[0].study_uid,
        series_uid=series.pop() if len(series) == 1 else None,
        instances=len(objects),
    )
