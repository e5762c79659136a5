"""The report as PDF for those who ask over REST: a few at a time, so that the rest of the API has its threads."""

import threading
from typing import Final

from service.problems import Problem
from worker.report.pdf import pdf_of

PLACES: Final = 4  # one is drawn, the others wait for it; each holds one of the API's 40 threads
RETRY_AFTER_S: Final = 5
_places: Final = threading.BoundedSemaphore(PLACES)

BUSY: Final = Problem(
    503,
    "busy",
    detail="Other reports are being made.",
    remedy="Ask again in a few seconds; the report as HTML does not wait.",
    headers={"Retry-After": str(RETRY_AFTER_S)},
)


def pdf_in_turn(html: str) -> bytes:
    """A report as PDF.

    Raises:
        Problem: as many as may wait are waiting already; nothing was begun.
        NoPdf: Pango is not there.
    """
    if not _places.acquire(blocking=False):
        raise BUSY
    try:
        return pdf_of(html)
    finally:
        _places.release()
