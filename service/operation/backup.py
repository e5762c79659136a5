"""`penumbra backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def backup(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the backup; the same one again adds what is new.")
    ],
    *,
    database_only: Annotated[
        bool, typer.Option("--database-only", help="Where the data folder is saved by other means.")
    ] = False,
) -> None:
    """Save database and data folder while everything runs. Example: penumbra backup /backup/penumbra."""
    from service.actor import acting, command_line
    from service.backup import back_up
    from service.settings import ServiceSettings

    with acting(command_line()):
        manifest = back_up(ServiceSettings(), folder.absolute(), with_files=not database_only)
    terminal.output.print(
        f"{folder}: the {manifest.kind} database and {manifest.files} files, {manifest.bytes / 2**30:.2f} GiB",
        markup=False,
    )
