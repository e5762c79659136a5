"""QIDO-RS: search for studies, series and instances (PS3.18 10.6)."""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.api.dicomweb_paths import SeriesUid, StudyUid, base_url, holdings_of, note_access
from service.api.parts import PartsDep
from service.audit import Action
from service.dicomweb.media import DICOM_JSON, accepted, not_acceptable
from service.dicomweb.search import Level, parse_query, search
from service.schemas import DICOMWEB_PATH

router = APIRouter(prefix=DICOMWEB_PATH, tags=["dicomweb"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What matches, newest study first",
        "content": {DICOM_JSON: {"schema": {"type": "array"}}},
    },
    204: {"description": "Nothing matches"},
}


@router.get("/studies", response_class=Response, responses=ANSWERS)
def search_studies(request: Request, parts: PartsDep) -> Response:
    """Studies that match. Parameters: attributes by keyword or tag, limit, offset, includefield."""
    return _search(request, parts, "studies")


@router.get("/series", response_class=Response, responses=ANSWERS)
def search_series(request: Request, parts: PartsDep) -> Response:
    """Series that match, of all studies."""
    return _search(request, parts, "series")


@router.get("/instances", response_class=Response, responses=ANSWERS)
def search_instances(request: Request, parts: PartsDep) -> Response:
    """Instances that match, of all studies."""
    return _search(request, parts, "instances")


@router.get("/studies/{study_uid}/series", response_class=Response, responses=ANSWERS)
def search_series_of_study(study_uid: StudyUid, request: Request, parts: PartsDep) -> Response:
    """Series of a study that match."""
    return _search(request, parts, "series", StudyInstanceUID=study_uid)


@router.get("/studies/{study_uid}/instances", response_class=Response, responses=ANSWERS)
def search_instances_of_study(study_uid: StudyUid, request: Request, parts: PartsDep) -> Response:
    """Instances of a study that match."""
    return _search(request, parts, "instances", StudyInstanceUID=study_uid)


@router.get("/studies/{study_uid}/series/{series_uid}/instances", response_class=Response, responses=ANSWERS)
def search_instances_of_series(
    study_uid: StudyUid, series_uid: SeriesUid, request: Request, parts: PartsDep
) -> Response:
    """Instances of a series that match."""
    return _search(request, parts, "instances", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)


def _search(request: Request, parts: PartsDep, level: Level, **fixed: str) -> Response:
    ranges = accepted(request.headers.get("accept"))
    if not any(each.takes(DICOM_JSON) or each.takes("application/json") for each in ranges):
        raise not_acceptable(DICOM_JSON)
    query = parse_query(level, request.query_params.multi_items(), **fixed)
    found = search(holdings_of(parts), query, base_url(request))
    note_access(parts, Action.QUERIED, level=level, found=len(found), study_uid=fixed.get("StudyInstanceUID"))
    headers = (
        {"Warning": ", ".join(f'299 penumbra "{each}"' for each in query.warnings)} if query.warnings else {}
    )
    if not found:
        return Response(status_code=204, headers=headers)
    return Response(json.dumps(found), headers=headers, media_type=DICOM_JSON)
