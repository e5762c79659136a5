"""`penumbra effects`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import terminal
from service.physics.training_board import training_board

if TYPE_CHECKING:
    from models.evaluation.effects import Plan

FAST_EFFECTS = "bowel,noise"
FAST_PLAN: dict[str, Any] = {
    "training_cases": 2,
    "validation_cases": 1,
    "ordinary_cases": 2,
    "shown_cases": 2,
    "spacing_zyx_mm": (10.0, 6.0, 6.0),
}
FAST_NETWORK: dict[str, Any] = {
    "width": 4,
    "voi_size_zyx": (16, 32, 48),
    "spacing_zyx_mm": (12.0, 8.0, 8.0),
    "steps": 4,
}


def effects(  # noqa: PLR0913, PLR0917 - typer declares options so
    out: Annotated[Path, typer.Option(help="Run folder: cases, a folder per network, and the results.")],
    only: Annotated[str | None, typer.Option(help="Effects with commas between them; all without.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each network; 300 by default.")] = None,
    cases: Annotated[int | None, typer.Option(min=1, help="Training phantoms; 48 by default.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each draws, trains or scores one thing.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Few cases, two effects, a tiny network: tries the way only.")
    ] = False,
) -> None:
    """What each effect of the phantoms is worth: a small network trained with and without it. Run again to go on."""
    from models.evaluation.effects import draw_phantoms, run_effects
    from models.evaluation.effects_report import write_effects
    from models.evaluation.run_folder import OtherLessons
    from models.training.run import Compute
    from worker.bundle_info import choose_device
    from worker.training_pool import training_pool

    plan = _plan(FAST_EFFECTS if fast and only is None else only, steps, cases, fast=fast)
    with training_pool(jobs) as pool:
        compute = Compute(pool, choose_device(device))
        with terminal.progress_bar("drawing phantoms") as advance:
            try:
                draw_phantoms(
                    plan,
                    out,
                    compute=compute,
                    on_case=lambda done, total: advance("drawing phantoms", done, total),
                )
            except OtherLessons as error:
                raise typer.BadParameter(str(error)) from error
        with training_board() as show:
            outcome = run_effects(plan, out, compute=compute, on_standings=show)
    write_effects(plan, outcome, out, command=shlex.join(["penumbra", *sys.argv[1:]]))
    terminal.output.print((out / "effects.md").read_text(), markup=False)


def _plan(only: str | None, steps: int | None, cases: int | None, *, fast: bool) -> Plan:
    """The defaults with what was asked for; wrong usage for an effect that there is not."""
    from models.evaluation.effects import EFFECTS, PROBE, Plan

    names = tuple(name.strip() for name in only.split(",")) if only else EFFECTS
    if unknown := [name for name in names if name not in EFFECTS]:
        raise typer.BadParameter(f"there is no effect {unknown[0]!r}; there are {', '.join(EFFECTS)}")
    network = replace(PROBE, **FAST_NETWORK) if fast else PROBE
    plan = Plan(network=replace(network, steps=steps or network.steps), effects=names)
    if fast:
        plan = replace(plan, **FAST_PLAN)
    return plan if cases is None else replace(plan, training_cases=cases)
