"""`penumbra bench page`: the review of 160 slices and a worklist of ten thousand jobs, in headless Chromium."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from service.showcase.stage import Stage

NAMED = 2000  # as many as a search for a name looks at
WORDS = {
    "first_slice_ms": "review: first slice, ms",
    "first_slice_again_ms": "review: first slice, scripts in the cache, ms",
    "all_slices_ms": "review: all slices loaded, ms",
    "slices_per_second": "review: slices a second while scrolling",
    "open_ms": "worklist: opened, ms",
    "next_page_ms": "worklist: next page, ms",
    "filter_ms": "worklist: one state only, ms",
    "search_uid_ms": "worklist: search by UID, ms",
    "search_name_first_ms": "worklist: first search by name, ms",
    "search_name_again_ms": "worklist: search by name again, ms",
}


def page(  # noqa: PLR0917 - typer's way to declare options
    slices: Annotated[int, typer.Option(min=20, help="Of the phantom whose review is opened.")] = 160,
    jobs: Annotated[int, typer.Option(min=100, help="In the worklist.")] = 10_000,
    passes: Annotated[int, typer.Option(min=1, help="Of the review's job; the page does not mind.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="How often the review is opened; medians are told.")] = 5,
    data: Annotated[
        Path | None,
        typer.Option(help="Data folder to keep, and to use again the next time; temporary by default."),
    ] = None,
) -> None:
    """The pages on loopback: first slice, scrolling, and a long worklist."""
    from service.showcase.chromium import chromium
    from service.showcase.crowd import uid_of
    from service.showcase.page_cost import measure_review, measure_worklist
    from service.showcase.stage import staged

    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = stack.enter_context(staged(folder / "data"))
        job_id = _prepared(stage, folder, slices=slices, jobs=jobs, passes=passes)
        browser = stack.enter_context(chromium())
        review = measure_review(browser, f"{stage.url}/jobs/{job_id}", rounds=rounds)
        worklist = measure_worklist(browser, stage.url, uid=uid_of(jobs - 2), name="n1234 crowd")
    costs = {**asdict(review), **asdict(worklist)}
    rows = [[WORDS[name], f"{cost:.0f}"] for name, cost in costs.items()]
    terminal.table([f"{slices} slices, {jobs} jobs", ""], rows)


def _prepared(stage: Stage, folder: Path, *, slices: int, jobs: int, passes: int) -> str:
    """The job to review, made together with the crowd if the data folder has none."""
    from service.showcase.crowd import crowd
    from service.showcase.named_crowd import name_the_crowd
    from worker.bench_series import write_bench_series

    with_result = (each for each in stage.jobs.list(states=["done"], limit=200).jobs if each.result_dir)
    if (found := next(with_result, None)) is not None:
        return found.id
    with terminal.progress_bar("drawing the phantom") as advance:
        files = sorted(write_bench_series(folder / "ct", slices=slices).glob("*.dcm"))
        job = stage.jobs.submit(stage.receive(files), passes=passes, deliver=False)
        stage.contour(job.id, told=lambda what, percent: advance(what, percent, 100.0))
    crowd(stage.database, jobs - 1)
    name_the_crowd(stage, files[0], min(NAMED, jobs - 1))
    return job.id
