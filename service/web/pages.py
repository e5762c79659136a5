"""The pages: worklist, bundles, system. They hold no data: that comes over REST and events, and only as text."""

from pathlib import Path

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import OperationalError
from starlette.responses import HTMLResponse

from service.api.parts import Parts, PartsDep
from service.bundle_catalogue import NOTICE, BundleCatalogue
from service.gate import COOKIE
from service.web.page_files import modules_of, versioned_path

WEB = Path(__file__).parent
PLACES = (("/", "Worklist"), ("/bundles", "Bundles"), ("/system", "System"))
"""What the navigation offers: path and name."""

GROUPS = (
    ("", "All"),
    ("receiving,queued", "Waiting"),
    ("running", "Contouring"),
    ("done", "Done"),
    ("rejected,failed,not-routed", "Need a look"),
    ("cancelled", "Cancelled"),
)
"""What the worklist can be narrowed to: states, and what people call them."""

router = APIRouter(include_in_schema=False)
templates = Environment(
    loader=FileSystemLoader(WEB / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


@router.get("/", response_class=HTMLResponse)
def worklist(parts: PartsDep) -> str:
    """All jobs, and the way in for a series."""
    return render(parts, "worklist.html", here="/", groups=GROUPS)


@router.get("/bundles", response_class=HTMLResponse)
def bundles(parts: PartsDep) -> str:
    """What is installed."""
    return render(parts, "bundles.html", here="/bundles")


@router.get("/system", response_class=HTMLResponse)
def system(parts: PartsDep) -> str:
    """How things stand, for whoever runs Penumbra."""
    return render(parts, "system.html", here="/system")


@router.get("/jobs/{job_id}", response_class=HTMLResponse)
def review(job_id: str, parts: PartsDep, request: Request) -> str:
    """The review of one job. Whether there is such a job, and whether it may be seen, is for the API to say."""
    del job_id
    early = ("review-early.js",)
    return render(parts, "review.html", here="/", early=early, may_ask=may_ask(parts, request))


def may_ask(parts: Parts, request: Request) -> bool:
    """Whether the page may ask for data before it knows of a token: else each opening were several refusals."""
    try:
        return parts.gate.lets_in(request.cookies.get(COOKIE))
    except OperationalError:
        return False  # the page tells that the database is away


def render(parts: Parts, template: str, *, here: str, **more: object) -> str:
    """A page in the frame that all share.

    Args:
        parts: what the application is made of.
        template: file name of a template that extends `page.html`.
        here: path of the place in the navigation that the page belongs to.
        more: what else the template names.
    """
    script = template.replace(".html", ".js")
    frame: dict[str, object] = {"early": (), "may_ask": False}
    return templates.get_template(template).render(
        **frame | more,
        here=here,
        static=versioned_path(),
        script=script,
        modules=modules_of(script),
        places=PLACES,
        ae_title=parts.settings.ae_title,
        dicom_port=parts.settings.dicom_port,
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
