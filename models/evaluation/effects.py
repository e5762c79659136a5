"""What each effect of the phantom generator is worth: a small network trained with and without it, one test for all.

Retraining every network without each effect would take weeks. The probe is one network that finds all organs in a
pass, on coarse phantoms: its DSC says which effects matter, not what the shipped networks would lose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from models.evaluation.effect_scores import ORGANS, Scores, of, score_probe
from models.evaluation.held_out_effects import CLINICAL, held_out_indices
from models.evaluation.paired import compare
from models.evaluation.run_folder import digests, keep_to_lessons
from models.phantom.effects import Effects
from models.recipes import PELVIS, NetworkRecipe
from models.training.cases import case_path, draw_case, save_case
from models.training.checkpoint import Checkpoint
from models.training.cohort import Cohort
from models.training.run import Compute, OnStandings, train_networks
from models.whole_file import digest, write_whole

EFFECTS = tuple(field.name for field in fields(Effects))
IN_SCAN = ("texture", "noise", "streaks", "contrast", "random_hu")  # these share the anatomies of all effects
EVERYTHING, AGAIN = "everything", "everything-again"

PROBE = NetworkRecipe(
    name=PELVIS,
    factory="pelvis_unet",
    width=12,
    levels=5,
    voi_size_zyx=(32, 48, 64),
    spacing_zyx_mm=(6.0, 5.0, 5.0),
    learning_rate=5e-3,
    steps=300,
    batch=2,
)

OnCase = Callable[[int, int], None]  # cases that are there, of how many


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all networks have in common, and how many cases there are of each kind."""

    network: NetworkRecipe = PROBE
    effects: tuple[str, ...] = EFFECTS
    training_cases: int = 48
    validation_cases: int = 2  # for the curves alone: the last weights count
    ordinary_cases: int = 32  # held out, as they come
    shown_cases: int = 20  # held out, at least so many that show the effect
    spacing_zyx_mm: tuple[float, float, float] = (5.0, 4.0, 4.0)  # of the tissue maps
    seed: int = 2031  # of the cohort; the control's and the held-out ones' follow it

    @property
    def held_out_seed(self) -> int:
        """Of phantoms that no network has seen."""
        return self.seed + 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network: what it learns from. `cases` names the folder of its phantoms."""

    name: str
    effects: Effects
    cases: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What an effect in training is worth for one organ: DSC with it less DSC without, case by case.

    Attributes:
        effect: its name; of the control `everything-again`.
        organ: one of the localiser's.
        cases: number of held-out cases that have the organ.
        dsc_with: mean DSC of the network that has learned with every effect.
        dsc_without: of the one that has not seen this effect.
        difference: mean of with - without.
        low: lower end of its 95 % interval over the cases; NaN where there is none.
        high: its upper end.
    """

    effect: str
    organ: str
    cases: int
    dsc_with: float
    dsc_without: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Scores by the row's name, and the held-out cases by effect."""

    scores: Mapping[str, Scores]
    ordinary: tuple[int, ...]
    shown: Mapping[str, tuple[int, ...]]

    def worths(self, *, shown: bool) -> list[Worth]:
        """Every effect and organ, on the cases that show the effect or on the ordinary ones; the control last."""
        found = []
        for effect, indices in {**self.shown, AGAIN: self.ordinary}.items():
            without = self.scores[AGAIN if effect == AGAIN else row_name(effect)]
            cases = indices if shown else self.ordinary
            for organ in ORGANS:
                pairs = of(self.scores[EVERYTHING], cases, organ), of(without, cases, organ)
                found.append(worth(effect, organ, *pairs))
        return found


def worth(effect: str, organ: str, with_it: Sequence[float], without: Sequence[float]) -> Worth:
    """One row of the table; cases without the organ (NaN) do not count."""
    pairs = [(a, b) for a, b in zip(with_it, without, strict=True) if a == a and b == b]
    nan = float("nan")
    means = [sum(side) / len(side) for side in zip(*pairs, strict=True)] if pairs else [nan, nan]
    low = high = nan
    if len(pairs) > 1:
        found = compare([a for a, _ in pairs], [b for _, b in pairs], names=("with", "without"))
        low, high = found.low, found.high
    return Worth(
        effect=effect,
        organ=organ,
        cases=len(pairs),
        dsc_with=means[0],
        dsc_without=means[1],
        difference=means[0] - means[1],
        low=low,
        high=high,
    )


def row_name(effect: str) -> str:
    """The network without an effect."""
    return f"without-{effect}"


def rows(plan: Plan) -> list[Row]:
    """With everything, the control (with everything, on other phantoms), and without each effect."""
    full = Effects()
    found = [
        Row(name=EVERYTHING, effects=full, cases=EVERYTHING, seed=plan.seed),
        Row(name=AGAIN, effects=full, cases=AGAIN, seed=plan.seed + 1),
    ]
    for effect in plan.effects:
        cases = EVERYTHING if effect in IN_SCAN else row_name(effect)
        found.append(Row(name=row_name(effect), effects=full.without(effect), cases=cases, seed=plan.seed))
    return found


@cache
def shown_cases(plan: Plan) -> Mapping[str, tuple[int, ...]]:
    """Held-out cases by the effect that they show."""
    return held_out_indices(
        plan.held_out_seed, plan.effects, ordinary=plan.ordinary_cases, shown=plan.shown_cases
    )


def tests(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Held-out cases by the row that is scored on them: the ordinary ones, and those that show what it lacks."""
    ordinary, shown = range(plan.ordinary_cases), shown_cases(plan)
    found = {EVERYTHING: {*ordinary}.union(*shown.values()), AGAIN: {*ordinary}}
    found |= {row_name(effect): {*ordinary, *indices} for effect, indices in shown.items()}
    return {name: tuple(sorted(indices)) for name, indices in found.items()}


def draw_phantoms(plan: Plan, out: Path, *, compute: Compute, on_case: OnCase) -> None:
    """Draw the cases that are not there yet below `out/cases`, a process of the pool each.

    Raises `OtherLessons` if `out` was begun with another recipe or another number of cases.
    """
    lessons = {
        "recipe": asdict(plan.network),
        "seed": plan.seed,
        "number of cases": [plan.training_cases, plan.validation_cases],
        "spacing": plan.spacing_zyx_mm,
    }
    keep_to_lessons(out / "lessons.json", lessons)
    wanted: dict[Path, tuple[int, int, Effects]] = {}
    for row in rows(plan):
        effects = Effects() if row.cases in {EVERYTHING, AGAIN} else row.effects
        for index, path in enumerate(_lessons(plan, row, out)):
            wanted[path] = (row.seed, index, effects)
    for index, path in _held_out(plan, out, tests(plan)[EVERYTHING]).items():
        wanted[path] = (plan.held_out_seed, index, CLINICAL)
    missing = [
        compute.pool.submit(_draw, path, case, plan.spacing_zyx_mm)
        for path, case in wanted.items()
        if not path.exists()
    ]
    for done, future in enumerate(as_completed(missing), start=1):
        future.result()
        on_case(len(wanted) - len(missing) + done, len(wanted))


def run_effects(plan: Plan, out: Path, *, compute: Compute, on_standings: OnStandings) -> Outcome:
    """Train and score what is not there yet, below `out/<row>`; the cases were drawn by `draw_phantoms`.

    All take all steps, and the last weights count: the best epoch of a few cases would be chosen by luck.
    """
    steps = plan.network.steps
    alike = replace(plan.network, epoch_steps=steps, patience=steps)
    networks, cohorts = {}, {}
    for row in rows(plan):
        paths, split = _lessons(plan, row, out), plan.training_cases
        networks[row.name] = replace(alike, effects=row.effects)
        cohorts[row.name] = Cohort(training=paths[:split], validation=paths[split:])
    train_networks(networks, cohorts, out, seed=plan.seed, compute=compute, on_standings=on_standings)
    scoring: dict[str, Future[Scores]] = {
        name: compute.pool.submit(
            _scored,
            plan.network,
            out / name,
            _held_out(plan, out, indices),
            seed=plan.held_out_seed,
            device=str(compute.device),
        )
        for name, indices in tests(plan).items()
    }
    scores = {name: future.result() for name, future in scoring.items()}
    return Outcome(scores=scores, ordinary=tuple(range(plan.ordinary_cases)), shown=shown_cases(plan))


def _lessons(plan: Plan, row: Row, out: Path) -> tuple[Path, ...]:
    """The cases of one row, first those that train."""
    count = plan.training_cases + plan.validation_cases
    return tuple(case_path(out / "cases" / row.cases, row.seed, index) for index in range(count))


def _held_out(plan: Plan, out: Path, indices: Sequence[int]) -> dict[int, Path]:
    return {index: case_path(out / "cases" / "held-out", plan.held_out_seed, index) for index in indices}


def _draw(path: Path, case: tuple[int, int, Effects], spacing_zyx_mm: tuple[float, float, float]) -> None:
    torch.set_num_threads(1)
    seed, index, effects = case
    save_case(draw_case(seed, index, effects=effects, spacing_zyx_mm=spacing_zyx_mm), path)


def _scored(
    recipe: NetworkRecipe, folder: Path, cases: Mapping[int, Path], *, seed: int, device: str
) -> Scores:
    """Scores from the folder if they are of these weights and cases, else measured and kept there."""
    file, weights = folder / "scores.json", Checkpoint(folder).best
    about: dict[str, Any] = {"weights": digest(weights), "cases": digests(list(cases.values()))}
    if file.exists():
        stored = json.loads(file.read_text())
        if stored["about"] == about:
            return {int(index): dsc for index, dsc in stored["scores"].items()}
    scores = score_probe(recipe, weights, cases, seed=seed, device=device)
    write_whole(file, json.dumps({"about": about, "scores": scores}))
    return scores
