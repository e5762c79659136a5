"""For monitors: alive, ready, figures."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from service.api.parts import PartsDep
from service.problems import Problem

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(parts: PartsDep) -> dict[str, str]:
    """Instances can be taken and jobs be queued: database and space are there."""
    try:
        parts.jobs.version()
    except SQLAlchemyError as error:
        raise _not_ready("The database does not answer.") from error
    if not parts.inbox.has_space():
        raise _not_ready("There is too little free disk space.")
    return {"status": "ready"}


@router.get("/metrics")
def metrics(parts: PartsDep) -> Response:
    """Figures in Prometheus' text format."""
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _not_ready(detail: str) -> Problem:
    return Problem(503, "not-ready", detail=detail, remedy="Look at Penumbra's log and its host.")
