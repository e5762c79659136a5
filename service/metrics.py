"""Figures for Prometheus: requests, jobs by state. No identifiers of any kind."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import Database
from service.records import DeliveryRecord, JobRecord


class Metrics:
    """One registry per application, so that two applications in one process do not share figures."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_RecordCounts(database))
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


class _RecordCounts(Collector):
    """Jobs and deliveries by state, counted when asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("penumbra_jobs", "Jobs by state.", labels=["state"])
        deliveries = GaugeMetricFamily("penumbra_deliveries", "Deliveries by state.", labels=["state"])
        up = GaugeMetricFamily("penumbra_database_up", "Whether the database answers.")
        try:
            with self._database.read() as session:
                for record, family in ((JobRecord, jobs), (DeliveryRecord, deliveries)):
                    for state, count in session.execute(
                        select(record.state, func.count()).group_by(record.state)
                    ):
                        family.add_metric([state], count)
            up.add_metric([], 1)
        except SQLAlchemyError:
            up.add_metric([], 0)
        yield from (jobs, deliveries, up)


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
