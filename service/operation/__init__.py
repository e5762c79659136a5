"""The operator's commands, one file each."""

from __future__ import annotations

import typer

from service.operation.backup import backup
from service.operation.report import report
from service.operation.restore import recover, restore
from service.showcase.screenshots import screenshots


def add_commands(app: typer.Typer) -> None:
    """Hang the commands into `penumbra`."""
    for command in (backup, restore, recover, report, screenshots):
        app.command()(command)
