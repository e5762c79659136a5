"""The pages of a job's report side by side, as on a table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from service.report_files import report_html
from service.showcase.stage import Stage
from worker.report.pdf import pdf_of

DOTS_PER_POINT: Final = 1.6
MARGIN: Final = 12
TABLE: Final = (207, 214, 222)


def picture_report(stage: Stage, job_id: str, path: Path) -> None:
    """Write the report as it is now as one PNG.

    Raises:
        NoPdf: Pango is not there.
    """
    import pypdfium2  # of the development extra

    html = report_html(stage.jobs.get(job_id), stage.database)
    assert html is not None, "the job was contoured for this"
    pages = [page.render(scale=DOTS_PER_POINT).to_pil() for page in pypdfium2.PdfDocument(pdf_of(html))]
    width = sum(page.width + MARGIN for page in pages) + MARGIN
    table = Image.new("RGB", (width, max(page.height for page in pages) + 2 * MARGIN), TABLE)
    left = MARGIN
    for page in pages:
        table.paste(page, (left, MARGIN))
        left += page.width + MARGIN
    table.save(path, optimize=True)
