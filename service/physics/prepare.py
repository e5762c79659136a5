"""`penumbra prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def prepare(
    dicom_folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="CT and RTSTRUCT of any number of patients, however nested."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder for cases/, evaluation/ and report.json.")],
    roi_map: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="YAML or JSON: structure to ROI names; laid over the default."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cases prepared at once, one core each.")] = 2,
    newest: Annotated[
        bool, typer.Option("--newest", help="Of several structure sets on one CT take the newest.")
    ] = False,
    keep_unusual: Annotated[
        bool, typer.Option("--keep-unusual", help="Take structures of unusual volume all the same.")
    ] = False,
) -> None:
    """Turn a clinic's CT and contours into cases for training, calibration and evaluation."""
    from worker.prepare import OutputInSource
    from worker.prepare import prepare as run
    from worker.prepare_case import Settings
    from worker.prepare_record import case_rows, other_rows
    from worker.prepare_roi_map import RoiMapError, read_roi_map

    try:
        chosen = read_roi_map(roi_map)
    except RoiMapError as error:
        raise typer.BadParameter(str(error), param_hint="--roi-map") from None
    settings = Settings(out=out, roi_map=chosen, newest=newest, keep_unusual=keep_unusual)
    with terminal.progress_bar("reading headers") as advance:
        try:
            report = run(dicom_folder, settings, jobs=jobs, on_step=advance)
        except OutputInSource as error:
            raise typer.BadParameter(str(error), param_hint="--out") from None
    terminal.table(
        ["case", "training", "evaluation", "structures", "left out because"], case_rows(report.cases)
    )
    if rows := other_rows(report):
        terminal.table(["not a case", "count"], rows)
    terminal.output.print(f"{out / 'report.json'}", markup=False)
