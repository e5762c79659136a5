"""`penumbra verdicts`: what reviewers said of contours, for a spreadsheet."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service import terminal
from service.actor import acting, command_line

app = typer.Typer(no_args_is_help=True)


@app.callback()
def on_behalf(context: typer.Context) -> None:
    """What reviewers said of contours."""
    context.with_resource(acting(command_line()))


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    since: Annotated[datetime | None, typer.Option(help="Only verdicts of then (UTC) or later.")] = None,
    *,
    history: Annotated[bool, typer.Option("--history", help="Also what was replaced or taken back.")] = False,
) -> None:
    """Write verdicts as CSV, with quality and band of the same contours. Example: penumbra verdicts export v.csv."""
    from service import audit
    from service.database import open_database
    from service.settings import ServiceSettings
    from service.verdict_export import write_csv

    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="OUT")
    settings = ServiceSettings()
    database = open_database(settings)
    with database.write() as session:  # before the first row, as with every download
        audit.record(session, audit.Action.VERDICTS_EXPORTED, subject="csv")
    with database.read() as session, out.open("x", newline="", encoding="utf-8") as stream:
        count = write_csv(session, stream, settings, since=since, with_history=history)
    terminal.output.print(f"{count} {'verdict' if count == 1 else 'verdicts'} written to {out}", markup=False)
