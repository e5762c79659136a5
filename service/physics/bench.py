"""`penumbra bench`: figures as ratios, against the naive way or a peer in one run."""

from __future__ import annotations

from typing import Annotated

import typer

from service import terminal

bench = typer.Typer(
    help="Measure, as a ratio against the naive way or a peer in one run.", no_args_is_help=True
)


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
            costs.append(
                measure_mc(network, x, structure=name, spacing_zyx_mm=spec.spacing_zyx_mm, passes=passes)
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
