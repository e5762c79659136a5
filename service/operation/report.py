"""`penumbra report`: the report of a result folder, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def report(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="What `penumbra segment` has written.")
    ],
) -> None:
    """Write report.html and report.pdf into a result folder. Example: penumbra report out."""
    from datetime import UTC, datetime

    from worker.job_folder import REVIEW_NAME, write_atomically
    from worker.object_files import PAGE_NAME
    from worker.report.document import report_of
    from worker.report.pdf import pdf_of

    if not (folder / REVIEW_NAME).is_file():
        raise typer.BadParameter(f"{folder} holds no {REVIEW_NAME}", param_hint="FOLDER")
    html = report_of(folder, job_id=folder.resolve().name, made=datetime.now(UTC))
    write_atomically(folder / "report.html", html.encode())
    terminal.output.print(str(folder / "report.html"), markup=False)
    write_atomically(folder / PAGE_NAME, pdf_of(html))
    terminal.output.print(str(folder / PAGE_NAME), markup=False)
