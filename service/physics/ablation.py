"""`penumbra ablation`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import terminal
from service.physics.train import recipe_called
from service.physics.training_board import training_board

if TYPE_CHECKING:
    from models.evaluation.ablation import Plan
    from models.recipes import NetworkRecipe, Recipe

FAST_CASES: dict[str, Any] = {"training_cases": 1, "validation_cases": 1, "held_out_cases": 2}
FAST_NETWORK: dict[str, Any] = {
    "width": 4,
    "voi_size_zyx": (24, 24, 24),
    "spacing_zyx_mm": (5.0, 3.0, 3.0),
    "steps": 2,
    "epoch_steps": 1,
}


def ablation(  # noqa: PLR0913, PLR0917 - typer declares options so
    out: Annotated[Path, typer.Option(help="Run folder: one folder per variant, and the results.")],
    cases: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Prepared cases (.npz); phantoms are drawn without."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Whose CTV network is taken apart.")] = "small",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each; the recipe's by default.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 20,
    jobs: Annotated[int, typer.Option(min=1, help="Variants trained at once, each in its own process.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Few cases, a tiny network: tries the way only.")
    ] = False,
) -> None:
    """Compare UNet, MTN, AG-UNet and AG-MTN, and two places of DropBlock, case by case; resumes what was begun."""
    from models.evaluation.ablation import run_ablation
    from models.evaluation.ablation_report import write_ablation
    from models.evaluation.run_folder import OtherLessons
    from models.training.run import Compute
    from worker.bundle_info import choose_device
    from worker.training_pool import training_pool

    chosen = recipe_called(recipe)
    if fast:
        chosen = replace(chosen, **FAST_CASES)
    ctv = chosen.only(["CTV"]).networks[0]
    if fast:
        ctv = replace(ctv, **FAST_NETWORK)
    if steps is not None:
        ctv = replace(ctv, steps=steps)
    paths = _phantoms(chosen, out, jobs=jobs) if cases is None else _prepared(cases, ctv)
    plan = _plan(chosen, ctv, paths[: _count(chosen)] if fast else paths, passes=passes)
    with training_pool(jobs) as pool, training_board() as show:
        compute = Compute(pool, choose_device(device))
        try:
            scores = run_ablation(plan, out, compute=compute, on_standings=show)
        except OtherLessons as error:
            raise typer.BadParameter(str(error)) from error
    _show(write_ablation(plan, scores, out, command=shlex.join(["penumbra", *sys.argv[1:]])))
    terminal.output.print(f"{out / 'ablation.json'}", markup=False)


def _phantoms(recipe: Recipe, out: Path, *, jobs: int) -> list[Path]:
    """Phantoms, drawn into the run folder."""
    from models.phantom.atlas import SHIPPED
    from models.training.cohort import draw_phantoms

    with terminal.progress_bar("drawing phantoms") as advance:
        return draw_phantoms(
            recipe,
            out / "cases",
            _count(recipe),
            workers=jobs,
            atlas=SHIPPED,
            on_case=lambda done, total: advance("drawing phantoms", done, total),
        )


def _prepared(folder: Path, ctv: NetworkRecipe) -> list[Path]:
    """The prepared cases that show a CTV."""
    from models.training.batches import with_structure
    from models.training.cohort import prepared_cases

    try:
        return with_structure(ctv, prepared_cases(folder))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _count(recipe: Recipe) -> int:
    return recipe.training_cases + recipe.validation_cases + recipe.held_out_cases


def _plan(recipe: Recipe, ctv: NetworkRecipe, paths: Sequence[Path], *, passes: int) -> Plan:
    """All variants take all steps: who stops early has seen fewer examples."""
    from models.evaluation.ablation import Plan
    from models.training.cohort import with_held_out

    try:
        cohort, held_out = with_held_out(recipe, paths)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    ctv = replace(ctv, patience=ctv.steps)
    return Plan(ctv=ctv, cohort=cohort, held_out=held_out, passes=passes, seed=recipe.seed)


def _show(report: Mapping[str, Any]) -> None:
    """The rows, then the comparisons; narrow enough for 80 columns, so that no name is cut."""
    rows = [
        [
            row["name"],
            f"{_number(row['dsc_mean'])} ± {_number(row['dsc_sd'])}",
            f"{_number(row['quality_mean'])} ± {_number(row['quality_sd'])}",
            _number(row["quality_spearman"], "+.2f"),
            _number(row["band_mm"], ".1f"),
        ]
        for row in report["variants"]
    ]
    columns = ["variant", "DSC", "quality", "Spearman", "band mm"]
    terminal.table(columns, rows, title=f"{report['held_out_cases']} held-out cases, {report['steps']} steps")
    pairs = [
        [
            f"{row['method']} - {row['baseline']}",
            _number(row["difference"], "+.3f"),
            f"{_number(row['low'], '+.3f')} to {_number(row['high'], '+.3f')}",
            _number(row["p"], ".2g"),
            _number(row["d_z"], "+.2f"),
        ]
        for row in report["comparisons"]
    ]
    terminal.table(["DSC", "difference", "95 % interval", "p", "d_z"], pairs, title=report["test"])


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)
