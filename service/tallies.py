"""Figures that only grow, kept in the database: they outlive processes, hosts and the rows they were counted from.

A listener, workers and several APIs all add to one book, so any API tells a monitor the same.
"""

import json
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.database import Database
from service.figure_records import TallyRecord

FLUSH_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Figure:
    """One counter, or one histogram if it has buckets (upper limits, ascending, without infinity)."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


def count(session: Session, figure: Figure, *labels: str, amount: float = 1.0) -> None:
    """Add to a counter, within the transaction that makes it true."""
    _tally(session, figure, labels).total += amount


def observe(session: Session, figure: Figure, *labels: str, value: float) -> None:
    """Put one value into a histogram, within the transaction that makes it true."""
    tally = _tally(session, figure, labels)
    counts = list(tally.counts or [0] * (len(figure.buckets) + 1))
    counts[bisect_left(figure.buckets, value)] += 1
    tally.counts = counts  # a new list: a changed one would not be noticed
    tally.total += value


def families(session: Session, figures: tuple[Figure, ...]) -> Iterator[Metric]:
    """All figures in Prometheus' shape, also those that nobody has counted yet."""
    rows = defaultdict(list)
    for tally in session.scalars(select(TallyRecord)):
        rows[tally.name].append(tally)
    for figure in figures:
        yield _family(figure, rows[figure.name])


class TallyBuffer:
    """Counts in memory and writes every few seconds, for what happens too often to be written each time.

    A crash loses the figures of those seconds, never anything else.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._amounts: dict[tuple[Figure, tuple[str, ...]], float] = defaultdict(float)
        self._timer: threading.Timer | None = None

    def count(self, figure: Figure, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter soon."""
        with self._lock:
            self._amounts[figure, labels] += amount
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_S, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was counted. Where the database does not answer it is kept for the next time."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            amounts, self._amounts, self._timer = self._amounts, defaultdict(float), None
        try:
            with self._database.write() as session:
                for (figure, labels), amount in amounts.items():
                    count(session, figure, *labels, amount=amount)
        except SQLAlchemyError as error:
            log.warning("figures not written", cause=type(error).__name__)
            with self._lock:
                for key, amount in amounts.items():
                    self._amounts[key] += amount


def _tally(session: Session, figure: Figure, labels: tuple[str, ...]) -> TallyRecord:
    """The row. Writers take turns (`service/database.py`), so reading and then adding loses nothing."""
    if len(labels) != len(figure.labels):
        raise ValueError(f"{figure.name} has the labels {figure.labels}")
    key = json.dumps(labels)
    tally = session.get(TallyRecord, (figure.name, key))
    if tally is None:
        tally = TallyRecord(name=figure.name, labels=key, total=0.0)
        session.add(tally)
    return tally


def _family(figure: Figure, rows: list[TallyRecord]) -> Metric:
    if not figure.buckets:
        counter = CounterMetricFamily(figure.name, figure.help, labels=figure.labels)
        for row in rows:
            counter.add_metric(json.loads(row.labels), row.total)
        return counter
    histogram = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
    limits = [*(f"{limit:g}" for limit in figure.buckets), "+Inf"]
    for row in rows:
        below, cumulated = 0, []
        for limit, found in zip(limits, row.counts or [], strict=True):
            below += found
            cumulated.append((limit, below))
        histogram.add_metric(json.loads(row.labels), cumulated, row.total)
    return histogram
