"""`penumbra audit`: is the log whole, and the log for others to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.actor import acting, command_line

if TYPE_CHECKING:
    from service.database import Database

app = typer.Typer(help="The audit log: who did what to which series.", no_args_is_help=True)
EXIT_TAMPERED = 1


@app.command()
def verify(
    noted: Annotated[
        list[str] | None, typer.Option(help="NUMBER:HASH that an earlier run showed and you kept elsewhere.")
    ] = None,
) -> None:
    """Recompute the chain of hashes; exit code 1 if an event was changed, cut out or cut off.

    Example: penumbra audit verify --noted 1205:6f1c...
    """
    from service.audit_anchor import anchored
    from service.audit_chain import Link, verify
    from service.settings import ServiceSettings

    try:
        links = [Link.parse(text) for text in noted or []]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    links += anchored(ServiceSettings())
    with _database().read() as session:
        verdict = verify(session, links)
    for fault in verdict.faults:
        terminal.errors.print(fault, markup=False)
    state = "whole" if verdict.is_whole else "NOT WHOLE"
    terminal.output.print(
        f"{state}: {verdict.head.seq} events, {len(links)} of them noted outside the database", markup=False
    )
    terminal.output.print(f"note this down elsewhere: {verdict.head}", markup=False)
    if not verdict.is_whole:
        raise typer.Exit(EXIT_TAMPERED)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    after: Annotated[int, typer.Option(min=0, help="Only events after this number.")] = 0,
) -> None:
    """Write the log as DICOM audit messages (PS3.15 A.5), in XML; this export is an event in it too.

    Example: penumbra audit export log.xml
    """
    from service import audit
    from service.audit_dicom import write_messages

    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="OUT")
    database = _database()
    with acting(command_line()), database.write() as session:  # before the first row, which it is the last of
        audit.record(session, audit.Action.AUDIT_READ, subject="export", after=after)
    with database.read() as session, out.open("xb") as stream:
        count = write_messages(session, stream, after=after)
    terminal.output.print(f"{count} events written to {out}", markup=False)


def _database() -> Database:
    from service.database import open_database
    from service.settings import ServiceSettings

    return open_database(ServiceSettings())
