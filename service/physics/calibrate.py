"""`penumbra calibrate`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal
from service.physics.bundle_option import bundle_called

if TYPE_CHECKING:
    from models.calibration.record import CalibrationRecord
    from worker.calibrate import Calibration


def calibrate(  # noqa: PLR0913, PLR0917 - typer declares options so
    cases_dir: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of case-NNNN with ct/ and truth.dcm.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for what was measured, the record and the bundle.")],
    bundle: Annotated[str | None, typer.Option(help="See `penumbra bundles`.")] = None,
    passes: Annotated[int, typer.Option(min=1)] = 50,
    alpha: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of the true surface that may lie outside.")
    ] = 0.05,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time, one core each.")] = 2,
    note: Annotated[str | None, typer.Option(help="How the cases were made; kept with the record.")] = None,
    *,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write the record into the bundle itself, not into a copy.")
    ] = False,
) -> None:
    """Choose how wide the bounds must be, on cases of your own; no retraining. Run again to go on."""
    from models.bundle import write_manifest
    from worker.calibrate import CalibrationFailed, CalibrationPlan, calibrated
    from worker.calibrate import calibrate as run_calibration
    from worker.calibration_case import Passes
    from worker.calibration_picture import draw_calibration

    folder, manifest = bundle_called(bundle)
    how = Passes(bundle=folder.name, weights=manifest.weights(), passes=passes)
    plan = CalibrationPlan(cases_dir=cases_dir, out=out, how=how, alpha=alpha, jobs=jobs)
    command = _command(bundle, passes, alpha, note)
    try:
        with terminal.progress_bar("calibrating") as advance:
            made = run_calibration(
                plan,
                command=command,
                on_case=lambda done, count: advance("calibrating", done, count),
            )
    except CalibrationFailed as error:
        terminal.errors.print(f"{error.message} {error.remedy}", markup=False)
        raise typer.Exit(1) from error
    (out / "calibration.json").write_text(made.record.model_dump_json(indent=2) + "\n")
    draw_calibration(made, out / "calibration.png")
    target = folder if in_place else shutil.copytree(folder, out / folder.name, dirs_exist_ok=True)
    write_manifest(calibrated(manifest, made.record), target)
    _show(made)
    terminal.output.print(str(target), markup=False)


def _command(bundle: str | None, passes: int, alpha: float, note: str | None) -> str:
    """What to type to get the same record."""
    words = [
        f"{note};" if note else "",
        "penumbra calibrate CASES --out DIR",
        f"--bundle {bundle}" if bundle else "",
        f"--passes {passes}",
        f"--alpha {alpha:g}",
    ]
    return " ".join(word for word in words if word)


def _show(made: Calibration) -> None:
    columns = ["structure", "cases", "κ", "band mm", "outside", "held out", "paper's band", "Spearman"]
    terminal.table(columns, [_row(made.record, name) for name in made.record.bands])
    for line in made.missing:
        terminal.errors.print(line, markup=False)


def _row(record: CalibrationRecord, name: str) -> list[str]:
    band, quality = record.bands[name], record.quality.get(name)
    rank = quality.rank_correlation if quality else None
    return [
        name,
        str(band.cases),
        f"{band.kappa:.2f}",
        f"{band.width_mm:.1f}",
        f"{band.risk:.1%}",
        "-" if band.held_out_risk is None else f"{band.held_out_risk:.1%}",
        f"{band.paper_risk:.1%}",
        "-" if rank is None else f"{rank:+.2f}",
    ]
