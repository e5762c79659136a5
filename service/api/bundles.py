"""Which bundles are installed, and what they were measured to do."""

from fastapi import APIRouter

from service.api.parts import PartsDep
from service.schemas import API_PATH, BundleList, BundleView

router = APIRouter(prefix=f"{API_PATH}/bundles", tags=["bundles"])


@router.get("")
def list_bundles(parts: PartsDep) -> BundleList:
    """Every installed bundle, from its manifest."""
    found = parts.bundles.manifests()
    return BundleList(
        bundles=[
            BundleView.of(
                name,
                manifest,
                notice=parts.bundles.notice(name),
                default=name == parts.bundles.name(None),
            )
            for name, manifest in found.items()
        ]
    )
