"""What a command line says about further objects and templates, checked."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import typer

from worker.job_folder import Destination
from worker.object_files import EXTRA_KINDS, ExtraKind
from worker.roi_naming import read_template
from worker.roi_template import TemplateError


def kinds_of(text: str) -> tuple[ExtraKind, ...]:
    """The kinds of `seg,sr`, each once.

    Raises:
        typer.BadParameter: a word is no kind.
    """
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    unknown = sorted(set(words) - set(EXTRA_KINDS))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: the kinds are {', '.join(EXTRA_KINDS)}", param_hint="--also"
        )
    return tuple(cast(ExtraKind, word) for word in dict.fromkeys(words))


def destinations_of(template: Path | None) -> tuple[Destination, ...]:
    """Nobody to send to, but one for whom an RTSTRUCT is written by the template.

    Raises:
        typer.BadParameter: the template cannot be used.
    """
    if template is None:
        return ()
    try:
        return (Destination(ae_title=template.stem, template=read_template(template)),)
    except TemplateError as error:
        raise typer.BadParameter(str(error), param_hint="--template") from error
