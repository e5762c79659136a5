"""The physicist's commands, one file each."""

from __future__ import annotations

import typer

from service.physics.ablation import ablation
from service.physics.bench import bench
from service.physics.calibrate import calibrate
from service.physics.contact_sheet import contact_sheet
from service.physics.doctor import doctor
from service.physics.effects import effects
from service.physics.evaluate import evaluate
from service.physics.prepare import prepare
from service.physics.scenarios import scenarios
from service.physics.template import template
from service.physics.train import train
from service.physics.verify import verify


def add_commands(app: typer.Typer) -> None:
    """Hang the commands into `penumbra`."""
    for command in (
        prepare,
        train,
        calibrate,
        evaluate,
        scenarios,
        ablation,
        effects,
        contact_sheet,
        template,
        verify,
        doctor,
    ):
        app.command()(command)
    app.add_typer(bench, name="bench")
