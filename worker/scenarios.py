"""Harder phantoms from first to last: drawn, contoured, scored, and set side by side in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.phantom.scenario import Scenario
from worker.case_pool import TRUTH, over_cases
from worker.evaluate import Evaluation, EvaluationFailed, evaluate
from worker.evaluation.scores import CaseScore
from worker.job_folder import JobRequest
from worker.phantom_case import MATRIX, case_name, write_phantom_case

OnStep = Callable[[str, int, int], None]  # what, done, of how many
DRAWN = "drawn.json"


@dataclass(frozen=True, kw_only=True)
class ScenarioRun:
    """What to draw and how to contour it.

    Attributes:
        out: a folder per scenario, with `cases` and `scores`.
        scenarios: which.
        seed: of the phantoms.
        count: cases of each scenario.
        request: bundle, passes and seed of the contouring.
        jobs: cases at a time, a process and a core each.
        matrix: pixels per row and column.
    """

    out: Path
    scenarios: tuple[Scenario, ...]
    seed: int
    count: int
    request: JobRequest
    jobs: int = 1
    matrix: int = MATRIX

    def evaluation(self, scenario: Scenario) -> Evaluation:
        """One scenario's part."""
        folder = self.out / scenario.name
        return Evaluation(
            cases_dir=folder / "cases",
            out=folder / "scores",
            request=self.request,
            jobs=self.jobs,
            at_most=self.count,
        )


def run_scenarios(plan: ScenarioRun, *, on_step: OnStep) -> dict[str, list[CaseScore]]:
    """Draw, contour and score each scenario's cases; what is there already is kept, so a stopped run goes on.

    Raises:
        EvaluationFailed: the folder holds phantoms of another seed or matrix, or results of another bundle, seed or
            number of passes.
    """
    _check_drawn(plan)
    total = 2 * plan.count * len(plan.scenarios)
    scores: dict[str, list[CaseScore]] = {}
    for number, scenario in enumerate(plan.scenarios):
        begun = 2 * plan.count * number

        def on_drawn(done: int, name: str = scenario.name, before: int = begun) -> None:
            on_step(f"drawing {name}", before + done, total)

        def on_case(done: int, _of: int, name: str = scenario.name, before: int = begun) -> None:
            on_step(f"contouring {name}", before + plan.count + done, total)

        _draw_missing(plan, scenario, on_drawn)
        scores[scenario.name] = evaluate(plan.evaluation(scenario), on_case=on_case)
    return scores


def _draw_missing(plan: ScenarioRun, scenario: Scenario, on_drawn: Callable[[int], None]) -> None:
    folder = plan.evaluation(scenario).cases_dir
    cases = [folder / case_name(index) for index in range(plan.count)]
    missing = [case for case in cases if not (case / TRUTH).exists()]
    there = len(cases) - len(missing)
    over_cases(
        partial(_draw, plan, scenario),
        missing,
        jobs=plan.jobs,
        on_case=lambda done, _of: on_drawn(there + done),
    )


def _draw(plan: ScenarioRun, scenario: Scenario, case: Path) -> Path:
    index = int(case.name.rpartition("-")[2])
    return write_phantom_case(case.parent, seed=plan.seed, index=index, matrix=plan.matrix, scenario=scenario)


def _check_drawn(plan: ScenarioRun) -> None:
    """Refuse to mix: phantoms that are there must be of the same seed and matrix."""
    asked = {"seed": plan.seed, "matrix": plan.matrix}
    record = plan.out / DRAWN
    if record.exists() and json.loads(record.read_text()) != asked:
        raise EvaluationFailed(
            f"{plan.out} holds phantoms of another seed or matrix.", remedy="Take a new folder."
        )
    plan.out.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asked) + "\n")
