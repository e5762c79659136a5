"""`penumbra doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from service import terminal


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Check what Penumbra needs and say what is in force; each problem with what to do. Exit code 1 if there is one."""
    from service.doctor import examine

    findings = list(examine())
    problems = [each for each in findings if not each.ok]
    if as_json:
        terminal.output.print_json(json.dumps([asdict(each) for each in findings]))
    else:
        terminal.table(
            ["what", "state", "detail"], [[f.what, "ok" if f.ok else "PROBLEM", f.detail] for f in findings]
        )
        for each in problems:
            terminal.output.print(f"{each.what}: {each.detail}. {each.remedy}", markup=False)
    if problems:
        raise typer.Exit(1)
