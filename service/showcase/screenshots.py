"""`penumbra screenshots`: every page at two sizes and in both themes, and the report, of a phantom contoured for it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from service.showcase.stage import Stage

SIZES = ((1366, 768), (2560, 1440))
THEMES = ("dark", "light")
PATIENCE_MS = 60_000


def screenshots(
    out: Annotated[Path, typer.Argument(help="Folder for the pictures.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Data folder to keep, and to use again the next time; temporary by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the phantom that is contoured.")] = 1,
    passes: Annotated[int, typer.Option(min=1)] = 50,
) -> None:
    """Picture every page in Chromium, and the report. Example: penumbra screenshots pictures --data /tmp/showcase."""
    from service.showcase.chromium import chromium
    from service.showcase.report_picture import picture_report
    from service.showcase.scenes import look, surround
    from service.showcase.stage import staged

    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(staged(folder / "data"))
        job_id = _finished_job(stage, folder, seed=seed, passes=passes)
        look(stage, job_id)
        picture_report(stage, job_id, out / "report.png")
        browser = stack.enter_context(chromium())
        pages = {"worklist": "/", "bundles": "/bundles", "system": "/system", "review": f"/jobs/{job_id}"}
        for size in SIZES:
            for theme in THEMES:
                surround(stage)
                _picture_all(browser, stage.url, pages, out, size=size, theme=theme)
    terminal.output.print(f"pictures: {out}", markup=False)


def _finished_job(stage: Stage, folder: Path, *, seed: int, passes: int) -> str:
    """The id of a finished job, made together with its surroundings if the data folder has none."""
    done = stage.jobs.list(states=["done"], limit=1).jobs
    if done:
        return done[0].id
    from service.showcase.scenes import deliver, set_the_scene
    from worker.phantom_case import write_phantom_case

    with terminal.progress_bar("drawing a phantom") as advance:
        case = write_phantom_case(folder, seed=seed, index=0)
        job = stage.jobs.submit(stage.receive(sorted((case / "ct").glob("*.dcm"))), passes=passes)
        stage.contour(job.id, told=lambda what, percent: advance(what, percent, 100.0))
    deliver(stage, job.id)
    set_the_scene(stage, folder)
    return job.id


def _picture_all(
    browser: Browser, url: str, pages: dict[str, str], out: Path, *, size: tuple[int, int], theme: str
) -> None:
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(f"localStorage.setItem('penumbra-theme', '{theme}')")
    page = context.new_page()
    for name, path in pages.items():
        page.goto(url + path)
        _settle(page, name)
        page.screenshot(path=out / f"{name}-{width}x{height}-{theme}.png")
    context.close()


def _settle(page: Page, name: str) -> None:
    """Wait until the page shows what it was opened for."""
    if name == "worklist":
        page.locator("#connection[data-state='live']").wait_for()
        page.locator(".patient a").first.wait_for()
    if name == "review":
        page.locator("html[data-all-slices-ms]").wait_for(state="attached")
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)  # pictures and names come after the frame
