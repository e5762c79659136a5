"""`penumbra scenarios`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from models.phantom.scenario import Scenario


def scenarios(  # noqa: PLR0913, PLR0917 - typer declares options so
    out: Annotated[Path, typer.Argument(help="Folder for cases and scores, and for scenarios.md.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the phantoms; take one that training did not.")] = 777,
    count: Annotated[int, typer.Option(min=1, help="Cases of each scenario.")] = 4,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time, one core each.")] = 2,
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    only: Annotated[str | None, typer.Option(help="Names with commas between them; all without.")] = None,
    matrix: Annotated[int, typer.Option(min=128, max=512, help="Pixels per row and column.")] = 512,
) -> None:
    """Draw harder phantoms, contour them and show what happens, a row per scenario. Run again to go on."""
    from models.bundle import read_manifest
    from models.phantom.scenario import SCENARIOS
    from worker.evaluation.scenarios import scenario_table
    from worker.job_folder import JobRequest
    from worker.scenarios import ScenarioRun, run_scenarios

    chosen = tuple(scenario_called(name) for name in only.split(",")) if only else SCENARIOS
    plan = ScenarioRun(
        out=out,
        scenarios=chosen,
        seed=seed,
        count=count,
        request=JobRequest(job_id="scenarios", series_instance_uid="", bundle=bundle, passes=passes),
        jobs=jobs,
        matrix=matrix,
    )
    manifest, digest = read_manifest(plan.evaluation(chosen[0]).bundle_folder)
    with terminal.progress_bar("drawing") as advance:
        scores = run_scenarios(plan, on_step=advance)
    words = ["penumbra scenarios OUT", f"--seed {seed}", f"--count {count}", f"--passes {passes}"]
    words += [f"--bundle {bundle}"] if bundle else []
    words += [f"--only {only}"] if only else []
    words += [f"--matrix {matrix}"] if matrix != 512 else []
    made_by = f"`{' '.join(words)}`, bundle {manifest.name} {manifest.version} ({digest[:12]})"
    text = f"{scenario_table(scores)}\n{made_by}\n"
    (out / "scenarios.md").write_text(text)
    terminal.output.print(text, markup=False)


def scenario_called(name: str) -> Scenario:
    """The scenario of this name; wrong usage if there is none."""
    from models.phantom.scenario import SCENARIOS, scenario

    try:
        return scenario(name.strip())
    except KeyError as error:
        names = ", ".join(each.name for each in SCENARIOS)
        raise typer.BadParameter(f"there is no scenario {name.strip()!r}; there are {names}") from error
