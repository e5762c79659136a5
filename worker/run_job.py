"""One job folder in, one result folder out: request, read, guard, segment, write, result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from models.monte_carlo import Sampling, passes_together
from worker.bundle_info import open_bundle
from worker.errors import Cancelled, PenumbraError, Rejected
from worker.figures import figures_of
from worker.finding import Finding
from worker.guard import check_series
from worker.job_folder import (
    PREVIEW_NAME,
    RESULT_NAME,
    REVIEW_NAME,
    RTSTRUCT_NAME,
    SLICES_NAME,
    JobRequest,
    Outcome,
    OutcomeState,
    instances_dir,
    read_request,
)
from worker.ledger import ProgressReport
from worker.objects import clear_objects, objects_document, write_further_objects
from worker.patient_study import ObjectIdentity
from worker.pipeline import segment
from worker.plausibility import check_result
from worker.preview import draw_preview
from worker.result_file import done_document, ended_document, write_document
from worker.review import review_of, with_findings
from worker.review_document import write_review
from worker.rtstruct import write_and_prove
from worker.series import read_series
from worker.settings import WorkerSettings
from worker.slice_pack import write_slices

Progress = Callable[[ProgressReport], None]
OUTPUTS = (RESULT_NAME, PREVIEW_NAME, REVIEW_NAME, SLICES_NAME)


def run_job(folder: Path, out: Path, *, progress: Progress) -> Outcome:
    """Run the job of a job folder; leaves `result.json` in `out`, and when done the picture and every object."""
    return run(read_request(folder), instances_dir(folder), out, progress=progress)


def run(
    request: JobRequest, ct: Path, out: Path, *, progress: Progress, settings: WorkerSettings | None = None
) -> Outcome:
    """Contour the series below `ct` into `out`.

    A reason that can be told (`PenumbraError`) becomes the outcome and is written down; anything else is a bug and
    goes up. What an earlier run left in `out` goes first: an old RTSTRUCT must not lie beside a new refusal.
    """
    for name in OUTPUTS:
        (out / name).unlink(missing_ok=True)
    clear_objects(out)
    noted: list[Finding] = []
    try:
        _contour(request, ct, out, progress=progress, settings=settings or WorkerSettings(), noted=noted)
        return Outcome("done")
    except PenumbraError as error:
        state = _state_of(error)
        write_document(ended_document(state, error, request, noted), out)
        return Outcome(state, error.as_reason())


def _contour(
    request: JobRequest,
    ct: Path,
    out: Path,
    *,
    progress: Progress,
    settings: WorkerSettings,
    noted: list[Finding],
) -> None:
    """The way to a result; what is found on it goes into `noted`, so that it is known wherever the way ends."""
    start = time.perf_counter()
    progress(ProgressReport(stage="reading", percent=0.0))
    series = read_series(ct)
    noted += series.findings
    noted += check_series(series, accept_lossy=settings.accept_lossy)
    bundle = open_bundle(
        request.bundle or settings.bundle, bundles_dir=settings.bundles_dir, device=settings.device
    )
    read_s = time.perf_counter() - start
    sampling = Sampling(
        passes=request.passes,
        seed=request.seed,
        level=bundle.manifest.level,
        batch=passes_together(bundle.device.type),
    )
    result = segment(series, bundle, sampling=sampling, progress=progress, bounds=request.bounds)
    noted += result.findings
    noted += check_result(result)
    result = replace(result, findings=tuple(noted))
    progress(ProgressReport(stage="writing", percent=95.0))
    start = time.perf_counter()
    identity = ObjectIdentity(seed=request.job_id, created=datetime.now(UTC))
    written = write_and_prove(result, out / RTSTRUCT_NAME, identity=identity)
    draw_preview(result, out / PREVIEW_NAME)
    figures = figures_of(result)
    review = review_of(result, figures, written)
    write_slices(series.hu, out / SLICES_NAME)
    further = write_further_objects(result, figures, request, out, review=review, identity=identity)
    result = replace(result, findings=(*result.findings, *further.findings))
    write_review(with_findings(review, result.findings), out)
    seconds = {"read": round(read_s, 3), **result.seconds, "write": round(time.perf_counter() - start, 3)}
    document = {
        **done_document(replace(result, seconds=seconds), figures, written),
        "objects": objects_document(out, further),
    }
    write_document(document, out)
    progress(ProgressReport(stage="writing", percent=100.0))


def _state_of(error: PenumbraError) -> OutcomeState:
    if isinstance(error, Rejected):
        return "rejected"
    if isinstance(error, Cancelled):
        return "cancelled"
    return "failed"
