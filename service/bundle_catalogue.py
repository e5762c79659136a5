"""Which bundles are installed, read from their manifests alone (no weights, no torch)."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from service.settings import ServiceSettings

log = structlog.get_logger(__name__)

MANIFEST_NAME = "bundle.json"
CLINICAL = "clinical"
NOTICE = "NOT FOR CLINICAL USE"


class BundleCatalogue:
    """The manifests below the settings' bundle folder and beside the shipped networks."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings

    def manifests(self) -> list[dict[str, Any]]:
        """Every readable manifest, by name."""
        found = {str(manifest.get("name")): manifest for manifest in self._read()}
        return [found[name] for name in sorted(found)]

    def manifest(self, name: str | None) -> dict[str, Any] | None:
        """The named bundle's manifest; None asks for the one that a job gets when it names none."""
        manifests = self.manifests()
        name = name or self._settings.bundle
        if name is None:
            return manifests[0] if manifests else None
        return next((manifest for manifest in manifests if manifest.get("name") == name), None)

    def notice(self, name: str | None) -> str | None:
        """`NOTICE`, unless the bundle is here and declares itself clinical: silence vouches for nothing."""
        manifest = self.manifest(name)
        is_clinical = manifest is not None and manifest.get("intended_use") == CLINICAL
        return None if is_clinical else NOTICE

    def _folders(self) -> Iterator[Path]:
        spec = find_spec("models")
        for location in (spec.submodule_search_locations or []) if spec is not None else []:
            yield Path(location) / "bundles"
        if self._settings.bundles_dir is not None:
            yield self._settings.bundles_dir

    def _read(self) -> Iterator[dict[str, Any]]:
        for folder in self._folders():
            for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
                try:
                    manifest = json.loads(path.read_bytes())
                except (OSError, ValueError):
                    log.warning("bundle-unreadable", bundle=path.parent.name)
                    continue
                if isinstance(manifest, dict):
                    yield manifest
