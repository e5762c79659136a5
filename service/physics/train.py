"""`penumbra train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.physics.bundle_option import bundle_called
from service.physics.training_board import training_board

if TYPE_CHECKING:
    from models.bundle import Manifest
    from models.recipes import Recipe
    from models.training.cohort import Cohort


def train(  # noqa: PLR0913, PLR0917 - typer declares options so
    out: Annotated[
        Path, typer.Option(help="Run folder: checkpoints, cases, curves, and at the end the bundle.")
    ],
    recipe: Annotated[str, typer.Option(help="small, paper or full.")] = "small",
    cases: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Prepared cases (.npz); phantoms are drawn without."),
    ] = None,
    anatomies: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="Label maps of pelves, to draw phantoms from instead of those shipped."
        ),
    ] = None,
    networks: Annotated[str | None, typer.Option(help="Only these, parted by commas.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Networks trained at once, each in its own process.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    begin_with: Annotated[
        str | None, typer.Option(help="A bundle whose networks are trained on; see `penumbra bundles`.")
    ] = None,
    share: Annotated[
        float,
        typer.Option(min=0.0, help="With --begin-with: of the recipe's steps; above 1 where there is a GPU."),
    ] = 0.3,
) -> None:
    """Train the networks of a recipe; run it again to go on where it stopped, even after kill -9."""
    from models.training.bundling import is_complete, make_bundle
    from models.training.event_files import MISSING, can_write_events
    from models.training.run import Compute, train_networks
    from worker.bundle_info import choose_device
    from worker.training_pool import training_pool

    whole = recipe_called(recipe)
    begun_with: dict[str, str | int] = {}
    if begin_with is not None:
        folder, manifest = bundle_called(begin_with)
        whole = whole.further({n: folder / each.file for n, each in manifest.networks.items()}, share)
        begun_with = {"begun_with": _described(manifest)}
    chosen = _only(whole, networks)
    if not can_write_events():
        terminal.errors.print(MISSING, markup=False)
    cohort = _cohort(whole, out, cases=cases, anatomies=anatomies, jobs=jobs)
    with training_pool(jobs) as pool, training_board() as show:
        train_networks(
            {network.name: network for network in chosen.networks},
            cohort,
            out,
            seed=chosen.seed,
            compute=Compute(pool, choose_device(device)),
            on_standings=show,
        )
    if not is_complete(whole, out):
        return
    name = f"{'phantom' if cases is None else 'cohort'}-{recipe}"
    facts = {**cohort.facts, "command": shlex.join(["penumbra", *sys.argv[1:]]), **begun_with}
    make_bundle(whole, out, out / name, version=version, facts=facts)
    terminal.output.print(f"{out / name}", markup=False)


def recipe_called(name: str) -> Recipe:
    """A recipe by name, or a usage error."""
    from models.recipes import RECIPES

    if name not in RECIPES:
        raise typer.BadParameter(f"there is no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]


def _described(bundle: Manifest) -> str:
    """A bundle in a line, with its own training."""
    steps = ", ".join(f"{k[6:]} {v}" for k, v in bundle.training.items() if k.startswith("steps "))
    return f"{bundle.name} {bundle.version} (steps: {steps})"


def _only(recipe: Recipe, networks: str | None) -> Recipe:
    if networks is None:
        return recipe
    try:
        return recipe.only([name.strip() for name in networks.split(",")])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _cohort(recipe: Recipe, out: Path, *, cases: Path | None, anatomies: Path | None, jobs: int) -> Cohort:
    """Prepared cases if there are, else phantoms drawn into the run folder."""
    from models.training.cohort import clinic_cohort, phantom_cohort

    if cases is not None:
        try:
            return clinic_cohort(recipe, cases)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    with terminal.progress_bar("drawing phantoms") as advance:
        return phantom_cohort(
            recipe,
            out / "cases",
            workers=jobs,
            atlas=_atlas(anatomies, out),
            on_case=lambda done, count: advance("drawing phantoms", done, count),
        )


def _atlas(anatomies: Path | None, out: Path) -> Path:
    """The shipped bones and muscles, or those of label maps, fitted once for the run."""
    from models.phantom.atlas import SHIPPED, load_atlas

    if anatomies is None:
        return SHIPPED
    from worker.anatomy_bank import fit_bank  # reads images: SimpleITK, which nothing else here needs

    atlas = out / "atlas.npz"
    if not atlas.exists():
        out.mkdir(parents=True, exist_ok=True)
        fit_bank(anatomies, atlas, spacing_mm=load_atlas().spacing_mm)
    return atlas
