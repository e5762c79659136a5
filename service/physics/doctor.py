"""`penumbra doctor`."""

from __future__ import annotations

import typer

from service import terminal


def doctor() -> None:
    """Check what Penumbra needs and say what is in force."""
    from service.doctor import examine

    findings = examine()
    terminal.table(
        ["what", "state", "detail"], [[f.what, "ok" if f.ok else "PROBLEM", f.detail] for f in findings]
    )
    if not all(f.ok for f in findings):
        raise typer.Exit(1)
