"""`penumbra evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from service import terminal

FAST_CASES, FAST_PASSES, FAST_MATRIX, FAST_SEED = 3, 4, 128, 90210


class Bounds(StrEnum):
    """Which bounds to write and to test."""

    AUTO = "auto"
    PAPER = "paper"
    CALIBRATED = "calibrated"
    BOTH = "both"


def evaluate(  # noqa: PLR0913, PLR0917 - typer declares options so
    out: Annotated[Path, typer.Option(help="Folder for results, tables and report.html.")],
    cases_dir: Annotated[
        Path | None, typer.Argument(exists=True, help="Folder of case-NNNN with ct/ and truth.dcm.")
    ] = None,
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time, one core each.")] = 2,
    bounds: Annotated[
        Bounds, typer.Option(help="auto: calibrated where the bundle has a record; both: and the paper's.")
    ] = Bounds.AUTO,
    note: Annotated[str | None, typer.Option(help="How the cases were made; kept with the figures.")] = None,
    bundle_dir: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Write the figures into this bundle's manifest."),
    ] = None,
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Three cases and four passes; without CASES_DIR small phantoms.")
    ] = False,
) -> None:
    """Segment cases and compare with their truth, from the written RTSTRUCTs. Run again to go on."""
    from models.bundle import read_manifest
    from models.training.bundling import with_metrics
    from worker.evaluate import Evaluation
    from worker.evaluate import evaluate as run_evaluation
    from worker.evaluation.manifest import manifest_metrics
    from worker.evaluation.report import Making, write_report
    from worker.evaluation.tables import summarise
    from worker.job_folder import JobRequest

    if cases_dir is None and not fast:
        raise typer.BadParameter("name the folder of cases, or use --fast")
    mode: Any = "auto" if bounds is Bounds.BOTH else bounds.value
    plan = Evaluation(
        cases_dir=cases_dir or _small_phantoms(out / "cases"),
        out=out,
        request=JobRequest(
            job_id="evaluate",
            series_instance_uid="",
            bundle=bundle,
            passes=min(passes, FAST_PASSES) if fast else passes,
            bounds=mode,
        ),
        also_paper=bounds is Bounds.BOTH,
        jobs=jobs,
        at_most=FAST_CASES if fast else None,
    )
    with terminal.progress_bar("evaluating") as advance:
        scores = run_evaluation(plan, on_case=lambda done, count: advance("evaluating", done, count))
    manifest, digest = read_manifest(plan.bundle_folder)
    command = _command(bundle, plan.request.passes, bounds, fast=fast)
    if bundle_dir is not None:
        figures = manifest_metrics(scores, f"{note}; {command}" if note else command)
        with_metrics(read_manifest(bundle_dir)[0], figures, out=bundle_dir)
    making = Making(bundle=manifest, sha256=digest, passes=plan.request.passes, command=command, note=note)
    report = write_report(scores, making, out)
    _show(summarise(scores))
    terminal.output.print(str(report), markup=False)


def _small_phantoms(folder: Path) -> Path:
    """Three phantoms on coarse pixels, for a run through everything."""
    from worker.phantom_case import write_phantom_case

    for index in range(FAST_CASES):
        if not (folder / f"case-{index:04d}" / "truth.dcm").exists():
            write_phantom_case(folder, seed=FAST_SEED, index=index, matrix=FAST_MATRIX)
    return folder


def _command(bundle: str | None, passes: int, bounds: Bounds, *, fast: bool) -> str:
    """What to type to get the same figures."""
    words = [
        "penumbra evaluate CASES --out DIR",
        f"--bundle {bundle}" if bundle else "",
        f"--passes {passes}",
    ]
    words += [f"--bounds {bounds.value}" if bounds is not Bounds.AUTO else "", "--fast" if fast else ""]
    return " ".join(word for word in words if word)


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = {
        "structure": "structure",
        "cases": "cases",
        "dsc_mean": "DSC",
        "dsc_min": "least",
        "asd_mm_mean": "ASD mm",
        "hd95_mm_mean": "HD95 mm",
        "surface_dsc_3mm_mean": "sDSC 3 mm",
        "outside_mean": "outside band",
        "band_mm_mean": "band mm",
    }
    table = [[_cell(row[key]) for key in columns] for row in rows]
    terminal.table(list(columns.values()), table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)
