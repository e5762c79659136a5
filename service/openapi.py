"""The API's description (OpenAPI 3.1), completed so that a generated client can use it.

FastAPI knows parameters and bodies of success. What every route has in common is added here: problems instead of its
own validation errors, the bearer token, what downloads and event streams are.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.access import is_open
from service.problems import MEDIA_TYPE

Document = dict[str, Any]

PROBLEM: Final[Document] = {
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457). `code` is stable, `remedy` says what to do.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
    },
}
REFUSAL: Final[Document] = {
    "description": "Refused or failed",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
BEARER: Final[Document] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token, where the system has any (`penumbra token`).",
}
BINARY: Final[Document] = {"schema": {"type": "string", "format": "binary"}}
DOWNLOADS: Final = {
    "/rtstruct": "application/dicom",
    "/result": "application/json",
    "/preview": "image/png",
    "/slices/{index}": "application/octet-stream",
    "/objects/{name}": "application/octet-stream",
}
FASTAPIS_OWN: Final = ("HTTPValidationError", "ValidationError")
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


def describe(app: FastAPI) -> None:
    """Let the application describe itself so."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _completed(app: FastAPI) -> Document:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        servers=[{"url": "/"}],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in FASTAPIS_OWN:
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    components.setdefault("securitySchemes", {})["bearer"] = BEARER
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                _complete(path, operation)
    return document


def _complete(path: str, operation: Document) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    answers["default"] = REFUSAL
    operation["security"] = [] if is_open(path) else [{"bearer": []}, {}]
    if path == "/metrics":
        answers["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    media_type = next((kind for end, kind in DOWNLOADS.items() if path.endswith(end)), None)
    if media_type is not None and operation["tags"] == ["results"]:
        schema = {"schema": {"type": "object"}} if media_type == "application/json" else BINARY
        kinds = {media_type: schema} if "objects" not in path else {"application/*": BINARY}
        answers["200"] = {"description": "The file; it has an ETag and can be continued", "content": kinds}
        answers["206"] = {"description": "The range that was asked for", "content": kinds}
        answers["304"] = {"description": "Not changed since the ETag that was sent"}
