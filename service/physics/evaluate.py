"""`penumbra evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


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
