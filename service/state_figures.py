"""Figures of how things stand, read when a monitor asks: queue, outbox, deliveries, disk, workers, GPUs."""

import shutil
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service import counts, figures
from service.database import Database
from service.figure_records import WorkerRecord
from service.presence import GONE_AFTER_S
from service.records import OutboxRecord, SeriesRecord
from service.settings import ServiceSettings
from service.tallies import families

GPU_GAUGES = {
    "utilisation": ("penumbra_gpu_utilisation_ratio", "Share of time that a GPU computed, 0 to 1."),
    "memory_used_bytes": ("penumbra_gpu_memory_used_bytes", "Memory of a GPU in use."),
    "memory_total_bytes": ("penumbra_gpu_memory_total_bytes", "Memory of a GPU."),
    "temperature_c": ("penumbra_gpu_temperature_celsius", "Temperature of a GPU."),
}


class StateFigures(Collector):
    """What stands in the database and on the disk at the moment of asking."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def collect(self) -> Iterator[Metric]:
        """All figures; without a database those of the disk, and `penumbra_database_up` 0."""
        yield _gauge("penumbra_build_info", "The version that answers.", 1, version=version("penumbra-rt"))
        yield from self._disk()
        try:
            with self._database.read() as session:
                found = [*_of_records(session), *families(session, figures.ALL)]
        except SQLAlchemyError:
            found = []
        yield from found
        yield _gauge("penumbra_database_up", "Whether the database answers.", 1 if found else 0)

    def _disk(self) -> Iterator[Metric]:
        self._settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        usage = shutil.disk_usage(self._settings.data_dir)
        yield _gauge("penumbra_disk_free_bytes", "Free space for received series and results.", usage.free)
        yield _gauge("penumbra_disk_total_bytes", "Size of the file system they lie on.", usage.total)
        limit = self._settings.min_free_bytes
        yield _gauge("penumbra_disk_reserve_bytes", "Free space below which nothing is taken.", limit)


def _of_records(session: Session) -> Iterator[Metric]:
    now = time.time()
    yield _by("state", counts.jobs_by_state(session), "penumbra_jobs", "Jobs by state.")
    yield _by("state", counts.deliveries_by_state(session), "penumbra_deliveries", "Deliveries by state.")
    undelivered = counts.undelivered_by_node(session)
    yield _by("node", undelivered, "penumbra_deliveries_waiting", "Results that a node has not got yet.")
    longest = counts.longest_wait_s(session, now) or 0.0
    yield _gauge("penumbra_queue_oldest_seconds", "For how long the oldest queued job has waited.", longest)
    waiting, oldest = session.execute(
        select(func.count(), func.min(OutboxRecord.not_before)).where(
            OutboxRecord.done_at.is_(None), OutboxRecord.not_before <= now
        )
    ).one()
    yield _gauge("penumbra_outbox_waiting", "Messages that are due for the broker.", waiting)
    yield _gauge("penumbra_outbox_oldest_seconds", "For how long the oldest is overdue.", _age(oldest, now))
    pending = session.scalar(select(func.count()).select_from(SeriesRecord).where(SeriesRecord.pending))
    yield _gauge("penumbra_series_arriving", "Series with instances that no job has taken up.", pending or 0)
    yield from _of_workers(
        session.scalars(select(WorkerRecord).where(WorkerRecord.seen_at > now - GONE_AFTER_S))
    )


def _by(label: str, numbers: dict[str, int], name: str, text: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], number)
    return family


def _of_workers(workers: Iterable[WorkerRecord]) -> Iterator[GaugeMetricFamily]:
    living = GaugeMetricFamily("penumbra_workers", "Workers that live, by queue.", labels=["queue"])
    numbers = {"gpu": 0, "delivery": 0}
    gpus = {}
    for worker in sorted(workers, key=lambda each: each.seen_at):
        numbers[worker.queue] = numbers.get(worker.queue, 0) + 1
        gpus.update({(worker.host, str(gpu["index"]), gpu["model"]): gpu for gpu in worker.devices})
    for queue, number in numbers.items():
        living.add_metric([queue], number)
    yield living
    for key, (name, text) in GPU_GAUGES.items():
        family = GaugeMetricFamily(name, text, labels=["host", "gpu", "model"])
        for labels, gpu in gpus.items():
            family.add_metric(labels, gpu[key])
        yield family


def _gauge(name: str, text: str, value: float, **labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)
