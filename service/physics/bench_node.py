"""`penumbra bench intake`, `penumbra bench faults`, `penumbra bench endurance`: the node, measured and mistreated."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def intake(
    slices: Annotated[int, typer.Option(min=1)] = 300,
    matrix: Annotated[int, typer.Option(min=16, max=2048, help="Pixels per row and column.")] = 512,
    associations: Annotated[int, typer.Option(min=1, max=8, help="At once, in the second round.")] = 4,
) -> None:
    """Take in a series by C-STORE, flushed to the disk, beside DCMTK's storescp in the same run."""
    from service.faults.intake import as_rows, measure_intake

    with tempfile.TemporaryDirectory() as scratch:
        costs = measure_intake(Path(scratch), slices=slices, matrix=matrix, associations=associations)
    columns = ["who", "associations", "instances", "seconds", "per second", "ratio to storescp"]
    terminal.table(columns, as_rows(costs))


def faults(
    out: Annotated[
        Path | None, typer.Option(help="A document with the table's marks, docs/reliability.md say.")
    ] = None,
    only: Annotated[str, typer.Option(help="Names of faults, by commas; all by default.")] = "",
    scale: Annotated[float, typer.Option(min=0.001, help="1: 200 kills, 5,000 malformed sessions.")] = 1.0,
) -> None:
    """Break everything on purpose and count what was lost. Example: penumbra bench faults --scale 0.1.

    The rows of P16 need PostgreSQL, redis-server and root (a second host's name); that of the full disk needs root.
    A row that cannot be tried says what is missing, and counts as broken.
    """
    from service.faults.rows import write_rows
    from service.faults.run import run_faults

    broken = 0
    for row in run_faults(tuple(filter(None, only.split(","))), scale=scale):
        terminal.output.print(f"{row.promise} {row.fault}: {row.figure}", markup=False)
        broken += not row.kept
        if out is not None:
            write_rows(out, [row])
    if broken:
        terminal.errors.print(f"{broken} promises broken or not tried")
        raise typer.Exit(1)


def endurance(
    minutes: Annotated[float, typer.Option(min=0.01, help="How long series are sent.")] = 480.0,
    out: Annotated[
        Path | None, typer.Option(help="A document with the table's marks, docs/reliability.md say.")
    ] = None,
) -> None:
    """A steady stream of series through the whole system; ends with 1 if something grows without end."""
    from service.faults.endurance import endure
    from service.faults.rows import Row, write_rows

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = endure(Path(folder), minutes)
    terminal.table(["process", "memory MB", "descriptors", "threads"], found.rows(), title="start, half, end")
    terminal.table(["data folder, MB", "start", "half", "end"], found.disk_rows())
    terminal.output.print(f"P21 {found}", markup=False)
    if out is not None:
        row = Row(
            promise="P21",
            fault="series without a pause, for a time",
            figure=str(found),
            kept=found.kept,
            test="tests/service/test_endurance.py",
            command=f"penumbra bench endurance --minutes {minutes:g}",
        )
        write_rows(out, [row])
    if not found.kept:
        terminal.errors.print("a promise broken")
        raise typer.Exit(1)
