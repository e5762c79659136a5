"""The page at `/`. It holds no data: jobs come over REST and events, and only as text."""

from pathlib import Path

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
    name = parts.bundles.name(None)
    manifest = parts.bundles.manifests().get(name)
    return templates.get_template("page.html").render(
        ae_title=parts.settings.ae_title,
        dicom_port=parts.settings.dicom_port,
        bundle=None if manifest is None else f"{name} {manifest.get('version', '')}",
        notice=NOTICE,
        warning=warning(parts.bundles),
        has_login=parts.settings.oidc is not None,
    )


def warning(bundles: BundleCatalogue) -> str | None:
    """What the banner says of the first installed bundle that is not clinical; None where all are."""
    for name, manifest in bundles.manifests().items():
        if bundles.notice(name) is not None:
            is_phantom = manifest.get("intended_use") == "research-phantom"
            return "phantom-trained bundle" if is_phantom else f"bundle {name}"
    return None
