"""`penumbra bench`: figures as ratios, against the naive way or a peer in one run."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from service import terminal
from service.physics.bench_node import endurance, faults, intake
from service.physics.sizing import sizing
from service.physics.train import recipe_called
from service.showcase.bench_page import page

bench = typer.Typer(
    help="Measure, as a ratio against the naive way or a peer in one run.", no_args_is_help=True
)
bench.command()(intake)
bench.command()(faults)
bench.command()(endurance)
bench.command()(sizing)
bench.command()(page)


@bench.command()
def mc(
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores; all by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu",
) -> None:
    """Fifty passes that share their first half, against fifty whole forwards of the same network."""
    import torch

    from models.evaluation.mc_cost import measure_mc
    from models.monte_carlo import passes_together
    from worker.bundle_info import open_bundle

    if threads is not None:
        torch.set_num_threads(threads)
    loaded = open_bundle(bundle, device=device)
    costs = []
    with terminal.progress_bar("bench mc") as advance:
        for number, (name, network) in enumerate(loaded.networks.items()):
            advance(name, number, len(loaded.networks))
            spec = loaded.manifest.networks[name]
            torch.manual_seed(0)
            x = torch.rand(1, 3 if name == "CTV" else 2, *spec.voi_size_zyx) * 2 - 1
            costs.append(
                measure_mc(
                    network,
                    x.to(loaded.device),
                    structure=name,
                    spacing_zyx_mm=spec.spacing_zyx_mm,
                    passes=passes,
                    batch=passes_together(loaded.device.type),
                )
            )
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


@bench.command()
def job(
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    slices: Annotated[int, typer.Option(min=20, help="Of the phantom that is contoured.")] = 160,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    ct_dir: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A CT series instead of the phantom.")
    ] = None,
) -> None:
    """A whole job on the CPU, from DICOM to the proved RTSTRUCT: seconds by stage, and memory."""
    from service.physics.job_cost import as_rows, measure_job
    from worker.bench_series import write_bench_series

    with tempfile.TemporaryDirectory() as scratch:
        ct, options = ct_dir, ["--passes", str(passes), "--device", "cpu"]
        if ct is None:
            with terminal.progress_bar("drawing the phantom") as advance:
                ct = write_bench_series(Path(scratch) / "ct", slices=slices)
                advance("drawing the phantom", 1, 1)
        cost = measure_job(ct, Path(scratch) / "out", *options, *(["--bundle", bundle] if bundle else []))
        count = sum(1 for path in ct.iterdir() if path.is_file())
    terminal.table(["stage", "seconds", "share"], as_rows(cost))
    terminal.output.print(
        f"{count} slices; with start and imports {cost.command_s:.1f} s; "
        f"at most {cost.peak_bytes / 1e9:.2f} GB of memory"
    )


@bench.command()
def examples(
    recipe: Annotated[str, typer.Option(help="Whose networks.")] = "small",
    anatomies: Annotated[int, typer.Option(min=1, help="Phantoms to draw them from.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Of training, per network.")] = 20,
) -> None:
    """Drawing phantoms for training, on one core: anatomies once, a new scan for every example."""
    import torch

    from models.evaluation.example_cost import measure_examples
    from models.training.cases import draw_cases

    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as scratch, terminal.progress_bar("bench examples") as advance:
        networks = recipe_called(recipe).networks
        start = time.perf_counter()
        cases = list(draw_cases(Path(scratch), seed=1, count=anatomies, workers=1))
        rows.append(["anatomy", f"{anatomies / (time.perf_counter() - start):.2f}"])
        for number, network in enumerate(networks):
            advance(network.name, number, len(networks))
            cost = measure_examples(network, cases, steps=steps)
            rows.append([cost.network, f"{cost.per_second:.2f}"])
        advance("done", 1, 1)
    terminal.table(["", "per second"], rows)
