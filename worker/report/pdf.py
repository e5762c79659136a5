"""The report as PDF. WeasyPrint needs Pango, a library of the system; without it there is HTML only."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Final

from worker.errors import Failed

_ONE_AT_A_TIME: Final = threading.Lock()  # a report takes a second and some memory


class NoPdf(Failed):
    """This host cannot make PDFs."""

    code = "no-pdf"
    default_message = "This host cannot make PDFs, because the library Pango is not installed."
    default_remedy = (
        "Install it (Debian: libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0); `penumbra doctor` checks."
    )


def pdf_of(html: str) -> bytes:
    """A report as PDF, A4, tagged for screen readers. Nothing is fetched from anywhere.

    Raises:
        NoPdf: Pango is not there.
    """
    try:
        from weasyprint import HTML  # half a second to import, and it loads Pango
        from weasyprint.urls import URLFetcher
    except OSError as error:
        raise NoPdf from error
    fetcher = URLFetcher(allowed_protocols=("data",), fail_on_errors=True)
    with _ONE_AT_A_TIME:
        document: bytes = HTML(string=html, url_fetcher=fetcher).write_pdf(pdf_tags=True)
    return document


def can_make_pdf() -> bool:
    """Whether Pango is there."""
    try:
        import_module("weasyprint")
    except OSError:
        return False
    return True
