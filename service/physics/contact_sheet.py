"""`penumbra contact-sheet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def contact_sheet(
    out: Annotated[Path, typer.Argument(help="The picture, a PNG.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the phantoms.")] = 1,
    cases: Annotated[int, typer.Option(min=1, max=12, help="Rows of the sheet.")] = 6,
) -> None:
    """Draw phantoms at a glance: a row each, six slices in a soft-tissue window with the true contours."""
    from worker.contact_sheet import draw_contact_sheet

    with terminal.progress_bar("drawing") as advance:
        draw_contact_sheet(
            out, seed=seed, cases=cases, on_case=lambda done, count: advance("drawing", done, count)
        )
    terminal.output.print(str(out), markup=False)
