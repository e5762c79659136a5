"""A day of series through listener, database, workers and nodes, one event after the other.

Arrivals are random (a Poisson process); the database has one writer at a time; a worker computes one job. So it shows
what multiplication does not: how long a series waits when several come at once.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from service.sizing.model import Costs

QUIET_PERIOD_S = 5.0
NOTICED_S = 0.5  # a quiet series is looked for so often, and the relay and a worker need a moment
SPREAD = 0.25  # of a job's time, as a share of it; a longer CT takes longer
CHUNK = 10  # slices that are written between two looks at the clock

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened. Seconds run from a series' last slice to its result at the node."""

    series: int
    hours: float
    half_s: float
    most_s: float
    """95 of 100 series were done within this."""
    longest_s: float
    workers_busy: float
    writer_busy: float
    longest_queue: int


@dataclass
class _Day:
    costs: Costs
    draw: random.Random
    world: simpy.Environment
    workers: simpy.Resource
    writer: simpy.Resource
    took: list[float] = field(default_factory=list)
    computing_s: float = 0.0
    writing_s: float = 0.0
    longest_queue: int = 0

    def arrivals(self, per_hour: float, until_s: float) -> Steps:
        while True:
            yield self.world.timeout(self.draw.expovariate(per_hour / 3600))
            if self.world.now >= until_s:
                return
            self.world.process(self.series())

    def series(self) -> Steps:
        yield from self.receive()
        last_slice = self.world.now
        yield self.world.timeout(QUIET_PERIOD_S + self.draw.uniform(0, NOTICED_S))
        yield from self.write(0.5 * self.costs.job_written_s)
        with self.workers.request() as turn:
            self.longest_queue = max(self.longest_queue, len(self.workers.queue))
            yield turn
            yield from self.compute()
        yield from self.write(0.4 * self.costs.job_written_s)
        yield self.world.timeout(self.costs.delivery_s)
        yield from self.write(0.1 * self.costs.job_written_s)
        self.took.append(self.world.now - last_slice)

    def receive(self) -> Steps:
        """The sender's own time per slice, and the commits that other writers may hold up."""
        left = self.costs.slices
        while left > 0:
            now = min(CHUNK, left)
            left -= now
            writing_s = now / self.costs.slices * self.costs.intake_written_s
            yield self.world.timeout(max(0.0, now / self.costs.intake_slices_per_s - writing_s))
            yield from self.write(writing_s)

    def compute(self) -> Steps:
        seconds = max(0.2, self.draw.gauss(1, SPREAD)) * self.costs.job_s
        self.computing_s += seconds
        yield self.world.timeout(seconds)
        renewals = seconds / self.costs.progress_every_s  # in truth they are spread over the job's time
        yield from self.write(renewals * self.costs.renewal_s)

    def write(self, seconds: float) -> Steps:
        """One writer at a time. The database is not fair, but near enough."""
        with self.writer.request() as turn:
            yield turn
            self.writing_s += seconds
            yield self.world.timeout(seconds)


def simulate(costs: Costs, *, per_hour: float, workers: int, hours: float, seed: int = 0) -> Outcome:
    """So many series an hour, for so many hours, by so many workers; all that came are finished."""
    world = simpy.Environment()
    day = _Day(
        costs,
        random.Random(seed),
        world,
        workers=simpy.Resource(world, capacity=workers),
        writer=simpy.Resource(world, capacity=1),
    )
    world.process(day.arrivals(per_hour, hours * 3600))
    world.run()
    took = sorted(day.took) or [0.0]
    return Outcome(
        series=len(day.took),
        hours=hours,
        half_s=took[len(took) // 2],
        most_s=took[int(len(took) * 0.95)],
        longest_s=took[-1],
        workers_busy=day.computing_s / (world.now * workers),
        writer_busy=day.writing_s / world.now,
        longest_queue=day.longest_queue,
    )
