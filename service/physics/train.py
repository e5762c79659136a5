"""`penumbra train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def train(
    out: Annotated[Path, typer.Option(help="Run folder: checkpoints, cases, and at the end the bundle.")],
    recipe: Annotated[str, typer.Option(help="Which recipe.")] = "small",
    jobs: Annotated[int, typer.Option(min=1, help="Networks trained at once, one core each.")] = 2,
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
) -> None:
    """Train all networks of a recipe; run it again to go on where it stopped."""
    from models.recipes import RECIPES
    from models.training.bundling import make_bundle
    from models.training.run import Standing, prepare_phantoms, train_recipe
    from worker.heap import keep_large_blocks

    if recipe not in RECIPES:
        raise typer.BadParameter(f"there is no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]
    keep_large_blocks()
    with terminal.progress_bar("drawing phantoms") as advance:
        cases = prepare_phantoms(
            chosen, out / "cases", workers=jobs, on_case=lambda done, count: advance("phantoms", done, count)
        )
    with terminal.progress_bar("training") as advance:
        standings: dict[str, Standing] = {}

        def show(standing: Standing) -> None:
            standings[standing.name] = standing
            done, total = sum(s.step for s in standings.values()), sum(n.steps for n in chosen.networks)
            at_work = [f"{s.name} {s.dice:.3f}" for s in standings.values() if 0 < s.step < s.steps]
            advance("training " + " · ".join(at_work), done, total)

        train_recipe(chosen, cases, out, jobs=jobs, on_standing=show)
    make_bundle(chosen, out, out / f"phantom-{recipe}", version=version)
    terminal.output.print(f"{out / f'phantom-{recipe}'}", markup=False)
