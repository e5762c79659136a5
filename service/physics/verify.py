"""`penumbra verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from service import terminal
from worker.errors import PenumbraError

if TYPE_CHECKING:
    from worker.verify import Verification
    from worker.verify_codes import Objection

EXIT_DISLIKED, EXIT_UNREADABLE = 1, 3
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def verify(
    rtstruct: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="RTSTRUCT, ours or another's.")
    ],
    ct_dir: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of the CT that it was drawn on.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Check an RTSTRUCT against its CT: what would a planning system dislike?

    Exit codes: 0 nothing or notes only, 1 warnings or errors, 2 wrong usage, 3 not readable.
    """
    from worker.verify import verify as run

    try:
        verification = run(rtstruct, ct_dir)
    except PenumbraError as reason:
        if as_json:
            terminal.output.print_json(json.dumps({"reason": reason.as_reason()}))
        terminal.errors.print(str(reason), markup=False)
        raise typer.Exit(EXIT_UNREADABLE) from None
    if as_json:
        terminal.output.print_json(json.dumps(verification.as_json()))
    else:
        _show(verification)
    if not verification.clean:
        raise typer.Exit(EXIT_DISLIKED)


def _show(verification: Verification) -> None:
    rows = [
        [
            escape(roi.name) or "-",
            escape(roi.kind) or "-",
            str(roi.contours),
            str(roi.slices),
            "-" if roi.volume_cc is None else f"{roi.volume_cc:.2f}",
        ]
        for roi in verification.rois
    ]
    terminal.table(["ROI", "type", "contours", "slices", "cc"], rows)
    if verification.objections:
        rows = [_row(objection) for objection in verification.objections]
        terminal.texts(["", "code", "where", "what is wrong, and what to do"], rows)
    counts = [f"{verification.count(s)} {s}s" for s in ("error", "warning", "note")]
    verdict = "nothing that a planning system would dislike" if verification.clean else "look at the table"
    terminal.output.print(f"{', '.join(counts)} on {verification.images} images: {verdict}", markup=False)


def _row(objection: Objection) -> list[str]:
    colour = _COLOURS[objection.severity]
    where = "-"
    if objection.roi is not None:
        number, name = objection.roi
        where = escape(f"{'?' if number is None else number} {name}".strip())
    return [
        f"[{colour}]{objection.severity}[/]",
        objection.code,
        where,
        f"{escape(objection.message)}\n[dim]{escape(objection.remedy)}[/]",
    ]
