"""The physicist's commands: train, evaluate, bench, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal

bench = typer.Typer(
    help="Measure, as a ratio against the naive way or a peer in one run.", no_args_is_help=True
)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands into `penumbra`."""
    for command in (train, evaluate, doctor):
        app.command()(command)
    app.add_typer(bench, name="bench")


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


def evaluate(  # noqa: PLR0917 - typer declares options so
    cases_dir: Annotated[
        Path, typer.Argument(exists=True, help="Folder of case-NNNN with ct/ and truth.dcm.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for results, scores.csv, summary.json.")],
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    note: Annotated[str | None, typer.Option(help="How the cases were made; kept with the figures.")] = None,
    bundle_dir: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Write the figures into this bundle's manifest."),
    ] = None,
) -> None:
    """Segment cases and compare with their truth, from the written RTSTRUCTs."""
    from models.bundle import read_manifest
    from models.training.bundling import with_metrics
    from worker.evaluate import evaluate as run_evaluation
    from worker.evaluate import manifest_metrics, summarise
    from worker.job_folder import JobRequest

    request = JobRequest(job_id="evaluate", series_instance_uid="", bundle=bundle, passes=passes)
    with terminal.progress_bar("evaluating") as advance:
        scores = run_evaluation(
            cases_dir, out, request, on_case=lambda done, count: advance("evaluating", done, count)
        )
    metrics = manifest_metrics(scores, f"{note}; penumbra evaluate" if note else "penumbra evaluate")
    if bundle_dir is not None:
        with_metrics(read_manifest(bundle_dir)[0], metrics, out=bundle_dir)
    for metric in metrics:
        if metric.name != "DSC":
            terminal.output.print(f"{metric.name}, {metric.structure}: {metric.mean:.2f}")
    rows = [[str(value) for value in row.values()] for row in summarise(scores)]
    terminal.table(["structure", "cases", "DSC mean", "DSC least", "ASD mm", "nested"], rows)


@bench.command()
def mc(
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores; all by default.")] = None,
) -> None:
    """Fifty passes that share their first half, against fifty whole forwards of the same network."""
    import torch

    from models.evaluation.mc_cost import measure_mc
    from worker.bundle_info import open_bundle

    if threads is not None:
        torch.set_num_threads(threads)
    loaded = open_bundle(bundle, device="cpu")
    costs = []
    with terminal.progress_bar("bench mc") as advance:
        for number, (name, network) in enumerate(loaded.networks.items()):
            advance(name, number, len(loaded.networks))
            spec = loaded.manifest.networks[name]
            torch.manual_seed(0)
            x = torch.rand(1, 3 if name == "CTV" else 2, *spec.voi_size_zyx) * 2 - 1
            costs.append(measure_mc(network, x, structure=name, passes=passes))
        advance("done", 1, 1)
    rows = [
        [
            c.structure,
            f"{c.shared_s:.2f}",
            f"{c.whole_s:.2f}",
            f"{c.ratio:.3f}",
            f"{c.mean_difference:.1e}",
            f"{c.variance_difference:.1e}",
        ]
        for c in costs
    ]
    shared, whole = sum(c.shared_s for c in costs), sum(c.whole_s for c in costs)
    rows.append(["all", f"{shared:.2f}", f"{whole:.2f}", f"{shared / whole:.3f}", "", ""])
    terminal.table(["structure", "shared s", "whole s", "ratio", "mean diff", "variance diff"], rows)


def doctor() -> None:
    """Check what Penumbra needs and say what is in force."""
    from service.doctor import examine

    findings = examine()
    terminal.table(
        ["what", "state", "detail"], [[f.what, "ok" if f.ok else "PROBLEM", f.detail] for f in findings]
    )
    if not all(f.ok for f in findings):
        raise typer.Exit(1)
