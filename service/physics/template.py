"""`penumbra template`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from service import terminal


def template(
    file: Annotated[Path | None, typer.Argument(help="A template to check; none prints the default.")] = None,
    *,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
) -> None:
    """Print the default template of an RTSTRUCT, or check one. Example: penumbra template clinic.yaml."""
    from worker.roi_naming import naming_of, read_template
    from worker.roi_template import DEFAULT_FILE, TemplateError
    from worker.roi_template import schema as schema_of_templates

    if schema:
        terminal.output.print_json(json.dumps(schema_of_templates()))
        return
    if file is None:
        terminal.output.print(DEFAULT_FILE.read_text(encoding="utf-8"), markup=False, end="")
        return
    try:
        naming = naming_of(read_template(file))
    except TemplateError as error:
        raise typer.BadParameter(str(error)) from error
    rows = []
    for structure in naming.styles:
        names = naming.written_names(structure, percent=95)
        rows.append([structure, *(names.get(bound, "") for bound in ("mean", "lower", "upper"))])
    terminal.table(["structure", "mean", "lower", "upper, calibrated"], rows, title=f"label {naming.label}")
