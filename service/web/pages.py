"""The page at `/`. It holds no data: jobs come over REST and events, and only as text."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from service.api.parts import PartsDep
from service.bundle_catalogue import NOTICE, BundleCatalogue

WEB = Path(__file__).parent
STATIC = WEB / "static"

router = APIRouter(include_in_schema=False)
templates = Environment(
    loader=FileSystemLoader(WEB / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@router.get("/", response_class=HTMLResponse)
def page(parts: PartsDep) -> str:
    """The page's frame."""
    bundle = parts.bundles.manifest(None)
    return templates.get_template("page.html").render(
        ae_title=parts.settings.ae_title,
        dicom_port=parts.settings.dicom_port,
        bundle=None if bundle is None else bundle_label(bundle),
        notice=NOTICE,
        warning=warning(parts.bundles),
    )


def bundle_label(manifest: dict[str, Any]) -> str:
    """Name and version."""
    return " ".join(str(manifest[key]) for key in ("name", "version") if manifest.get(key))


def warning(bundles: BundleCatalogue) -> str | None:
    """What the banner says of the first installed bundle that is not clinical; None where all are."""
    for manifest in bundles.manifests():
        name = str(manifest.get("name"))
        if bundles.notice(name) is not None:
            is_phantom = manifest.get("intended_use") == "research-phantom"
            return "phantom-trained bundle" if is_phantom else f"bundle {name}"
    return None
