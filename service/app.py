"""The API and the page: `create_app` puts the parts together, `run_api` serves them."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import Scope

from service import audit_process, openapi, problems
from service.access import AccessControl, SecurityHeaders
from service.api import (
    audit_log,
    bundles,
    deliveries,
    dicomweb,
    everything,
    follow,
    health,
    jobs,
    looked,
    patients,
    peers,
    pulls,
    report,
    results,
    review,
    session,
    system,
    tokens,
    verdict,
)
from service.api.parts import Parts
from service.archive import MAX_TOTAL_BYTES
from service.audit_access import AuditAccess
from service.body_limit import BodyLimit
from service.bundle_catalogue import BundleCatalogue
from service.database import open_database
from service.deadline import DeadlineProtocol
from service.events import JobFeed
from service.gate import Gate
from service.inbox import Inbox
from service.jobs import Jobs
from service.metrics import MeasureRequests, Metrics
from service.schemas import API_PATH, DICOMWEB_PATH, JOBS_PATH
from service.settings import ServiceSettings
from service.web import page_files, pages

MAX_BODY_BYTES = 64 * 1024
MAX_CONNECTIONS = 512
GRACE_S = 5


def create_app(settings: ServiceSettings) -> FastAPI:
    """Build the application with parts of its own; needs neither torch nor a broker."""
    parts = _make_parts(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with audit_process.noted(parts.database, "api"):
            yield
        parts.feed.close()
        parts.database.dispose()

    app = FastAPI(
        title="Penumbra",
        summary="Contours of the post-operative prostate bed, with their uncertainty",
        openapi_url=f"{API_PATH}/openapi.json",
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=_middleware(settings, parts),
    )
    app.state.parts = parts
    problems.install(app)
    for part in (
        jobs,
        patients,
        results,
        review,
        everything,
        report,
        verdict,
        looked,
        follow,
        deliveries,
        pulls,
        bundles,
        peers,
        dicomweb,
        tokens,
        audit_log,
        session,
        system,
        health,
        pages,
    ):
        app.include_router(part.router)
    if settings.oidc is not None:
        from service.web import login  # Authlib takes a while to import

        app.include_router(login.router)
    openapi.describe(app)
    app.add_route(f"{page_files.PATH}/{{path:path}}", page_files.serve)
    return app


def run_api(settings: ServiceSettings, sockets: list[socket.socket] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Requests under way get `GRACE_S` to end; event streams end at once."""
    server_of(settings).run(sockets=sockets)


def server_of(settings: ServiceSettings) -> uvicorn.Server:
    """The server that `run_api` runs; in a thread it stops once its `should_exit` is set.

    Raises:
        service.gate.OpenDoor: it would listen to a network, and nobody has a key.
    """
    app = create_app(settings)
    app.state.parts.gate.refuse_an_open_door()
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=DeadlineProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config, app.state.parts.feed)


class _Server(uvicorn.Server):
    """uvicorn's server; it waits for open answers when it stops, so event streams must end first."""

    def __init__(self, config: uvicorn.Config, feed: JobFeed) -> None:
        super().__init__(config)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.close()
        await super().shutdown(sockets)


def _make_parts(settings: ServiceSettings) -> Parts:
    database = open_database(settings)
    jobs_front = Jobs(settings, database)
    return Parts(
        settings=settings,
        database=database,
        jobs=jobs_front,
        inbox=Inbox(settings, database),
        feed=JobFeed(jobs_front),
        bundles=BundleCatalogue(settings),
        metrics=Metrics(settings, database),
        gate=Gate(settings, database),
    )


def _middleware(settings: ServiceSettings, parts: Parts) -> list[Middleware]:
    """From the outside in."""
    return [
        Middleware(SecurityHeaders, is_https=settings.oidc is not None and settings.oidc.is_https),
        Middleware(MeasureRequests, metrics=parts.metrics),
        Middleware(problems.LastResort),
        Middleware(AccessControl, gate=parts.gate, host_names=[settings.api_host]),
        Middleware(AuditAccess, database=parts.database),
        *_login_middleware(settings),
        Middleware(BodyLimit, limit=_body_limit),
    ]


def _login_middleware(settings: ServiceSettings) -> list[Middleware]:
    if settings.oidc is None:
        return []
    from service.web import login

    return [login.middleware(settings.oidc)]


def _body_limit(scope: Scope) -> int:
    is_form = Headers(scope=scope).get("content-type", "").lower().startswith("multipart/form-data")
    is_upload = is_form and scope["method"] == "POST" and scope["path"] == JOBS_PATH
    is_upload |= scope["method"] == "POST" and scope["path"].startswith(f"{DICOMWEB_PATH}/studies")
    return MAX_TOTAL_BYTES if is_upload else MAX_BODY_BYTES
