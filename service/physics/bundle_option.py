"""A bundle that a command names: where it lies and what it says of itself, or a usage error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from models.bundle import Manifest


def bundle_called(name: str | None) -> tuple[Path, Manifest]:
    """Folder and manifest of an installed bundle; None is the settings' own, or the one that is shipped."""
    from models.bundle import read_manifest
    from worker.bundle_info import bundle_folder
    from worker.errors import BundleInvalid
    from worker.settings import WorkerSettings

    settings = WorkerSettings()
    try:
        folder = bundle_folder(name or settings.bundle, settings.bundles_dir)
    except BundleInvalid as error:
        raise typer.BadParameter(str(error)) from error
    return folder, read_manifest(folder)[0]
