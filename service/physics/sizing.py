"""`penumbra bench sizing`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from service.settings import ServiceSettings
    from service.sizing.ledger_cost import LedgerCost
    from service.sizing.model import Costs


def sizing(  # noqa: PLR0913, PLR0917 - typer's way to declare options
    per_hour: Annotated[float, typer.Option(min=0.1, help="Series in the busiest hour.")] = 1000,
    per_day: Annotated[
        float | None, typer.Option(help="Series a day; eight busiest hours by default.")
    ] = None,
    job_s: Annotated[float, typer.Option(min=0.1, help="Seconds one job takes on one worker.")] = 30,
    slices: Annotated[int, typer.Option(min=20, help="Of a series.")] = 160,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Simulate so many; what the model says by default.")
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.1, help="How long the busiest hour lasts in the simulation.")
    ] = 4,
    days_kept: Annotated[float, typer.Option(min=0, help="How long series and results are kept.")] = 30,
    progress_every_s: Annotated[float, typer.Option(min=0.1, help="The setting of that name.")] = 0.5,
    measured: Annotated[
        int,
        typer.Option(
            min=0, help="Series that the database is measured with; 0 takes the figures of deploy/sizing.md."
        ),
    ] = 5,
    database_url: Annotated[
        str | None,
        typer.Option(help="An empty database to measure instead of SQLite; its tables are used up."),
    ] = None,
) -> None:
    """What so many series an hour need: measured, by a model, simulated. Example: penumbra bench sizing --job-s 8."""
    from service.sizing.model import Costs, Load, size_for

    costs = Costs(job_s=job_s, slices=slices, progress_every_s=progress_every_s)
    if measured:
        costs = _measured(costs, measured, database_url)
    load = Load(busiest_hour=per_hour, per_day=per_day or 8 * per_hour, days_kept=days_kept)
    size = size_for(load, costs)
    rows = [
        ["workers (GPUs) at most 70 % busy", str(size.workers)],
        ["associations at once to bring it in", str(size.associations)],
        ["network in, Mbit/s", f"{size.network_mbit_s:.0f}"],
        ["transactions per second", f"{size.commits_per_s:.1f}"],
        ["of the time the database is written to", f"{100 * size.writer_busy:.1f} %"],
        [f"disk for {days_kept:g} days, GiB", f"{size.disk_gib:.0f}"],
        ["database then, GiB", f"{size.database_gib:.1f}"],
        ["broker if nobody works for an hour, MiB", f"{size.broker_mib:.1f}"],
    ]
    terminal.table(["the model says", ""], rows, title=f"{per_hour:g} series in the busiest hour")
    _simulated(costs, per_hour=per_hour, workers=workers or size.workers, hours=hours)


def _measured(costs: Costs, series: int, database_url: str | None) -> Costs:
    from dataclasses import replace

    from service.settings import NodeSettings, ServiceSettings
    from service.sizing.ledger_cost import measure

    with tempfile.TemporaryDirectory() as scratch:
        node = NodeSettings(ae_title="BENCH", host="127.0.0.1", port=1, objects=("rtstruct",))
        settings = ServiceSettings(
            data_dir=Path(scratch) / "data", database_url=database_url, nodes=(node,), min_free_bytes=0
        )
        with terminal.progress_bar(f"{series} series of {costs.slices} slices") as advance:
            found = measure(settings, series=series, slices=costs.slices)
            advance("measured", 1, 1)
    _show_measured(found, settings)
    return replace(
        costs,
        intake_slices_per_s=found.slices_per_s,
        slice_commit_s=found.intake.commit_s,
        renewal_s=found.renewals.commit_s,
        job_written_s=found.jobs.seconds / series,
    )


def _show_measured(found: LedgerCost, settings: ServiceSettings) -> None:
    rows = [
        ["slices stored per second, one thread", f"{found.slices_per_s:.0f}"],
        ["ms that a slice's transaction keeps other writers out", f"{1000 * found.intake.commit_s:.1f}"],
        ["ms that one of progress does", f"{1000 * found.renewals.commit_s:.1f}"],
        ["ms that all others of a job do", f"{1000 * found.jobs.seconds / found.series:.0f}"],
        ["series per hour that database and disk carry in one thread", f"{found.series_per_hour:.0f}"],
    ]
    kind = "PostgreSQL" if settings.database_url else "SQLite"
    terminal.table(
        ["measured here", ""], rows, title=f"{kind}, {found.series} series of {found.slices} slices"
    )


def _simulated(costs: Costs, *, per_hour: float, workers: int, hours: float) -> None:
    from service.sizing.simulation import simulate

    found = simulate(costs, per_hour=per_hour, workers=workers, hours=hours)
    rows = [
        ["series", str(found.series)],
        ["last slice to result at the node, half of them, s", f"{found.half_s:.0f}"],
        ["95 of 100, s", f"{found.most_s:.0f}"],
        ["the longest, s", f"{found.longest_s:.0f}"],
        ["workers busy", f"{100 * found.workers_busy:.0f} %"],
        ["database written to", f"{100 * found.writer_busy:.1f} %"],
        ["longest queue", str(found.longest_queue)],
    ]
    terminal.table(["simulated", ""], rows, title=f"{hours:g} such hours, {workers} workers")
