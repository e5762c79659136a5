"""`penumbra bench intake` and `penumbra bench faults`: the node, measured and mistreated."""

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
    """Break everything on purpose and count what was lost. Example: penumbra bench faults --scale 0.1."""
    from service.faults.rows import write_rows
    from service.faults.run import run_faults

    broken = 0
    for row in run_faults(tuple(filter(None, only.split(","))), scale=scale):
        terminal.output.print(f"{row.promise} {row.fault}: {row.figure}", markup=False)
        broken += not row.kept
        if out is not None:
            write_rows(out, [row])
    if broken:
        terminal.errors.print(f"{broken} promises broken")
        raise typer.Exit(1)
