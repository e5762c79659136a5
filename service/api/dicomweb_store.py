"""STOW-RS: instances in, as by C-STORE (PS3.18 10.5)."""

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.api.dicomweb_paths import StudyUid, base_url
from service.api.parts import Parts, PartsDep
from service.dicomweb.media import DICOM, DICOM_JSON
from service.dicomweb.store import Account, store
from service.problems import Problem
from service.schemas import DICOMWEB_PATH
from service.upload import Form, read_related, staged

router = APIRouter(prefix=DICOMWEB_PATH, tags=["dicomweb"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    }
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "All instances are stored", "content": {DICOM_JSON: {"schema": {"type": "object"}}}},
    202: {
        "description": "Some are; the answer says which",
        "content": {DICOM_JSON: {"schema": {"type": "object"}}},
    },
    409: {"description": "None is", "content": {DICOM_JSON: {"schema": {"type": "object"}}}},
}


@router.post("/studies", response_class=Response, responses=ANSWERS, openapi_extra=BODY)
async def store_instances(request: Request, parts: PartsDep) -> Response:
    """Take instances in; a CT series becomes a job once it has gone quiet."""
    return await _store(request, parts, None)


@router.post("/studies/{study_uid}", response_class=Response, responses=ANSWERS, openapi_extra=BODY)
async def store_instances_of_study(study_uid: StudyUid, request: Request, parts: PartsDep) -> Response:
    """Take instances of one study in; those of another are refused."""
    return await _store(request, parts, study_uid)


async def _store(request: Request, parts: Parts, study_uid: str | None) -> Response:
    with staged(parts.settings, int(request.headers.get("content-length", "0"))) as folder:
        content_type = request.headers.get("content-type", "")
        form = await read_related(request.stream(), content_type, folder, media_type=DICOM)
        account = await run_in_threadpool(_take, parts, form, study_uid)
    document = account.document(base_url(request))
    return Response(json.dumps(document), account.status, media_type=DICOM_JSON)


def _take(parts: Parts, form: Form, study_uid: str | None) -> Account:
    if not form.files:
        raise Problem(
            400, "empty-body", detail="The body holds no instance.", remedy="Send one part per DICOM file."
        )
    account = store(form.files, parts.inbox, study_uid=study_uid, max_bytes=parts.settings.max_instance_bytes)
    parts.metrics.instances.inc(len(account.stored))
    return account
