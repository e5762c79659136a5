"""What so many series an hour need, by multiplication: workers, disk, database, broker, network.

Costs come from `deploy/sizing.md`, where each stands with the command that measured it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIB, GIB = 2**20, 2**30
BUSY_AT_MOST = 0.7  # share of time a worker may be busy in the busiest hour; above it queues grow long
COMMITS_PER_JOB = 5.0  # submit, relay, claim, publish, relay again
COMMITS_PER_DELIVERY = 2.0  # claim, delivered
INSTANCE_ROW_BYTES, JOB_ROW_BYTES = 700, 6_000  # with indexes; a job with deliveries, outbox and audit events
MESSAGE_BYTES = 1_500


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What one series costs. Seconds on one machine of the kind that is planned with."""

    slices: int = 160
    slice_bytes: int = 525_000
    result_bytes: int = 48 * MIB
    """Most of it the slices that the review page shows, about 250 kB each."""
    job_s: float = 30.0
    """Computing of one job on one worker."""
    intake_slices_per_s: float = 60.0
    """Of one association, every instance flushed."""
    delivery_s: float = 1.0
    slice_commit_s: float = 0.0042
    """For so long a transaction of intake keeps other writers out."""
    renewal_s: float = 0.0056
    """So does one that notes a job's progress."""
    job_written_s: float = 0.094
    """So do all others of a job's life, from submission to delivery."""
    progress_every_s: float = 0.5
    slices_per_commit: float = 1.0
    """Instances that share a commit; more where several associations send at once."""

    @property
    def series_bytes(self) -> int:
        """Of the received series."""
        return self.slices * self.slice_bytes

    @property
    def intake_written_s(self) -> float:
        """For so long the intake of one series keeps other writers out."""
        return self.slices / self.slices_per_commit * self.slice_commit_s

    @property
    def renewals(self) -> float:
        """Times that a job notes its progress."""
        return self.job_s / self.progress_every_s

    @property
    def written_s(self) -> float:
        """For so long one series keeps other writers out, in all."""
        return self.intake_written_s + self.job_written_s + self.renewals * self.renewal_s

    @property
    def commits(self) -> float:
        """Transactions from the first instance to the delivered result."""
        rest = COMMITS_PER_JOB + COMMITS_PER_DELIVERY
        return self.slices / self.slices_per_commit + rest + self.renewals


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the system."""

    busiest_hour: float
    """Series in the busiest hour."""
    per_day: float
    """Series a day."""
    days_kept: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """What it takes."""

    workers: int
    network_mbit_s: float
    associations: int
    """That must send at once to bring the busiest hour's series in."""
    commits_per_s: float
    writer_busy: float
    """Share of time that somebody writes to the database; writers take turns."""
    disk_gib: float
    database_gib: float
    broker_mib: float


def size_for(load: Load, costs: Costs) -> Size:
    """Workers, disk and the rest for a load."""
    series_per_s = load.busiest_hour / 3600
    kept = load.per_day * load.days_kept
    return Size(
        workers=max(1, math.ceil(series_per_s * costs.job_s / BUSY_AT_MOST)),
        network_mbit_s=series_per_s * costs.series_bytes * 8 / 1e6,
        associations=max(1, math.ceil(series_per_s * costs.slices / costs.intake_slices_per_s)),
        commits_per_s=series_per_s * costs.commits,
        writer_busy=series_per_s * costs.written_s,
        disk_gib=kept * (costs.series_bytes + costs.result_bytes) / GIB,
        database_gib=kept * (costs.slices * INSTANCE_ROW_BYTES + JOB_ROW_BYTES) / GIB,
        broker_mib=load.busiest_hour * MESSAGE_BYTES / MIB,
    )
