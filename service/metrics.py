"""Figures for Prometheus: requests of this process, and what database and disk say. No patient, no series, no job."""

import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import Database
from service.settings import ServiceSettings
from service.state_figures import StateFigures


class Metrics:
    """One registry per application, so that two applications in one process do not share figures."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(StateFigures(settings, database))
        self.requests = Counter(
            "penumbra_http_requests",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "penumbra_http_request_seconds",
            "Time from a request's first byte to the end of its answer.",
            ("method", "route"),
            registry=self.registry,
        )
        self.instances = Counter(
            "penumbra_uploaded_instances", "Instances received over REST.", registry=self.registry
        )

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)


class MeasureRequests:
    """ASGI middleware that counts and times requests by route, not by path: paths hold identifiers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in {"GET", "HEAD", "POST"} else "other"
            route = getattr(scope.get("route"), "path", "none")
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.seconds.labels(method, route).observe(time.perf_counter() - started)
