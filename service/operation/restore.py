"""`penumbra restore` and `penumbra recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from service.recovery import Recovered


def restore(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of the backup.")],
    *,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Also where the database holds jobs; those it loses are not asked for."
        ),
    ] = False,
) -> None:
    """Put a backup back while nothing runs. What the data folder knows besides is taken up, nothing runs twice."""
    from service.actor import acting, command_line
    from service.restore import restore as put_back
    from service.settings import ServiceSettings

    with acting(command_line()):
        manifest, files, found = put_back(ServiceSettings(), folder.absolute(), replace=replace)
    terminal.output.print(f"the {manifest.kind} database and {files} missing files are back", markup=False)
    _show(found)


def recover() -> None:
    """Bring database and data folder together, after the database was put back by other means, while nothing runs."""
    from service.actor import acting, command_line
    from service.restore import recover as bring_together
    from service.settings import ServiceSettings

    with acting(command_line()):
        _show(bring_together(ServiceSettings()))


def _show(found: Recovered) -> None:
    rows = [
        ["instances taken up that the database did not know", str(found.instances)],
        ["jobs taken up that it did not know", str(found.jobs)],
        ["results taken up that it did not know", str(found.results)],
        ["jobs queued again", str(found.requeued)],
        ["instances whose file is missing", str(found.missing_files)],
    ]
    terminal.table(["what", "count"], rows)
    if found.missing_files:
        terminal.errors.print("Send the series again whose files are missing.", markup=False)
