"""Which bundles are installed, and what they were measured to do."""

from typing import Any

from fastapi import APIRouter

from service.api.parts import Parts, PartsDep
from service.schemas import API_PATH, BundleList, BundleView

router = APIRouter(prefix=f"{API_PATH}/bundles", tags=["bundles"])


@router.get("")
def list_bundles(parts: PartsDep) -> BundleList:
    """Every installed bundle, from its manifest."""
    return BundleList(bundles=[_view(parts, manifest) for manifest in parts.bundles.manifests()])


def _view(parts: Parts, manifest: dict[str, Any]) -> BundleView:
    name = str(manifest.get("name"))
    structures = manifest.get("structures") or []
    return BundleView(
        name=name,
        version=_text(manifest.get("version")),
        intended_use=_text(manifest.get("intended_use")),
        notice=parts.bundles.notice(name),
        structures=[_structure_name(each) for each in structures],
        metrics=manifest.get("metrics"),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _structure_name(structure: object) -> str:
    return str(structure.get("name")) if isinstance(structure, dict) else str(structure)
