"""Which bundles are installed, read from their manifests alone (no weights, no torch)."""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import structlog

from service.settings import ServiceSettings
from worker.settings import SHIPPED_BUNDLE

log = structlog.get_logger(__name__)

MANIFEST_NAME = "bundle.json"
CLINICAL = "clinical"
NOTICE = "NOT FOR CLINICAL USE"

Manifest = dict[str, Any]


class BundleCatalogue:
    """Manifests by the name of their folder: shipped ones, and a clinic's own, which win."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings

    def manifests(self) -> dict[str, Manifest]:
        """Every readable manifest by its bundle's name, with the manifest's `sha256` added."""
        found = dict(self._read())
        return {name: found[name] for name in sorted(found)}

    def name(self, wanted: str | None) -> str:
        """The bundle that a job gets which asks for `wanted`."""
        return wanted or self._settings.bundle or SHIPPED_BUNDLE

    def notice(self, wanted: str | None) -> str | None:
        """`NOTICE`, unless the bundle is here and declares itself clinical: silence vouches for nothing."""
        manifest = self.manifests().get(self.name(wanted), {})
        return None if manifest.get("intended_use") == CLINICAL else NOTICE

    def _folders(self) -> Iterator[Path]:
        spec = find_spec("models")
        for location in (spec.submodule_search_locations or []) if spec is not None else []:
            yield Path(location) / "bundles"
        if self._settings.bundles_dir is not None:
            yield self._settings.bundles_dir

    def _read(self) -> Iterator[tuple[str, Manifest]]:
        for folder in self._folders():
            for path in folder.glob(f"*/{MANIFEST_NAME}"):
                try:
                    yield path.parent.name, _parse(path, path.stat().st_mtime_ns)
                except (OSError, ValueError, TypeError) as error:
                    log.warning("unreadable bundle", bundle=path.parent.name, cause=type(error).__name__)


@lru_cache(maxsize=64)
def _parse(path: Path, _stamp: int) -> Manifest:
    """`_stamp`, the file's time, makes an edited manifest a new one."""
    data = path.read_bytes()
    return dict(json.loads(data)) | {"sha256": hashlib.sha256(data).hexdigest()}
