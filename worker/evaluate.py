"""A bundle against the truth: cases with CT and true contours, segmented as any series is, compared per structure.

What is compared are the written RTSTRUCTs, rasterised on the CT by the reader that shares nothing with the writer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.bundle import read_manifest
from worker.bundle_info import bundle_folder
from worker.case_pool import CT, OnCase, case_folders, over_cases, silent
from worker.errors import Failed
from worker.evaluation.case_scoring import score_case
from worker.evaluation.scores import CaseScore
from worker.evaluation.tables import write_scores
from worker.job_folder import RESULT_NAME, JobRequest
from worker.run_job import run
from worker.settings import WorkerSettings

PAPER = "paper"


class EvaluationFailed(Failed):
    """The evaluation cannot be made as asked."""

    code = "evaluation-failed"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What to evaluate.

    Attributes:
        cases_dir: folder of `case-*` folders with `ct/` and `truth.dcm`.
        out: one result folder per case, the tables and the report.
        request: bundle, passes, seed and mode of the bounds.
        also_paper: whether to do it all again with the paper's bounds, where the request's are others. The mean
            contours are the same; it costs a second segmentation.
        jobs: cases at a time, a process and a core each.
        at_most: only the first cases.
    """

    cases_dir: Path
    out: Path
    request: JobRequest
    also_paper: bool = False
    jobs: int = 1
    at_most: int | None = None

    @property
    def bundle_folder(self) -> Path:
        """Where the bundle lies; raises `BundleInvalid` if there is none of that name."""
        settings = WorkerSettings()
        return bundle_folder(self.request.bundle or settings.bundle, settings.bundles_dir)

    @property
    def cases(self) -> list[Path]:
        """The case folders, in order."""
        return case_folders(self.cases_dir, at_most=self.at_most)


def evaluate(plan: Evaluation, *, on_case: OnCase) -> list[CaseScore]:
    """Segment and score every case; leaves a result folder for each, `cases.json`, `scores.csv`, `summary.json`.

    Cases whose `result.json` is there already are not segmented again, so a stopped evaluation goes on.

    Raises:
        EvaluationFailed: no cases, or the folder holds results of another bundle, seed or number of passes.
    """
    cases = plan.cases
    if not cases:
        raise EvaluationFailed(
            f"There are no cases below {plan.cases_dir}: no folder with ct/ and truth.dcm."
        )
    _check_earlier_results(plan)
    done = over_cases(partial(_evaluate_case, plan), cases, jobs=plan.jobs, on_case=on_case)
    everything = [score for scores in done.values() for score in scores]
    write_scores(everything, plan.out)
    return everything


def _evaluate_case(plan: Evaluation, case: Path) -> list[CaseScore]:
    folder = plan.out / case.name
    _segment_once(plan.request, case, folder)
    scores = [score_case(case, folder)]
    if plan.also_paper and scores[0].state == "done" and scores[0].bounds != PAPER:
        _segment_once(plan.request.model_copy(update={"bounds": PAPER}), case, folder / PAPER)
        scores.append(score_case(case, folder / PAPER))
    return scores


def _segment_once(request: JobRequest, case: Path, folder: Path) -> None:
    if not (folder / RESULT_NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        run(request, case / CT, folder, progress=silent)


def _check_earlier_results(plan: Evaluation) -> None:
    """Refuse to mix: what is there must come from the same bundle, seed and number of passes."""
    digest = read_manifest(plan.bundle_folder)[1]
    for case in plan.cases:
        path = plan.out / case.name / RESULT_NAME
        if not path.exists():
            continue
        document = json.loads(path.read_text())
        bundle = (document["bundle"] or {}).get("sha256", digest)
        asked = (digest, plan.request.passes, plan.request.seed)
        if (bundle, document["passes"], document["seed"]) != asked:
            raise EvaluationFailed(
                f"{plan.out} holds results of another bundle, seed or number of passes ({case.name}).",
                remedy="Take a new folder for --out.",
            )
