"""The paper's ablation of the CTV's network, and of where DropBlock sits: rows of data, compared case by case.

All variants see the same cases, the same varied examples in the same order, the same number of steps; what differs is
the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from models.evaluation.ablation_scores import CaseScore, score_variant
from models.evaluation.paired import Comparison, compare
from models.evaluation.run_folder import digests, keep_to_lessons
from models.recipes import NetworkRecipe
from models.stochastic import Placement
from models.training.checkpoint import Checkpoint
from models.training.cohort import Cohort
from models.training.run import Compute, OnStandings, train_networks
from models.whole_file import digest, write_whole

FACTORY = {
    # guided, multi_task
    (False, False): "plain_unet",
    (False, True): "mtn",
    (True, False): "ag_unet",
    (True, True): "ag_mtn",
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row: whether the network sees bladder and rectum, whether it learns the distance map, where DropBlock is."""

    name: str
    guided: bool
    multi_task: bool
    placement: Placement = "bottleneck"

    def recipe(self, ctv: NetworkRecipe) -> NetworkRecipe:
        """The CTV's recipe with this row's network."""
        factory = FACTORY[self.guided, self.multi_task]
        return replace(ctv, factory=factory, guided=self.guided, placement=self.placement)


UNET = Variant(name="UNet", guided=False, multi_task=False)
MTN = Variant(name="MTN", guided=False, multi_task=True)
AG_UNET = Variant(name="AG-UNet", guided=True, multi_task=False)
AG_MTN = Variant(name="AG-MTN", guided=True, multi_task=True)
EVERYWHERE = Variant(name="AG-MTN-everywhere", guided=True, multi_task=True, placement="everywhere")

VARIANTS = (UNET, MTN, AG_UNET, AG_MTN, EVERYWHERE)
# Each against the plain U-Net, AG-MTN against each, and the two places of DropBlock.
PAIRS = (
    (MTN, UNET),
    (AG_UNET, UNET),
    (AG_MTN, UNET),
    (AG_MTN, MTN),
    (AG_MTN, AG_UNET),
    (EVERYWHERE, AG_MTN),
)

Scores = Mapping[str, Sequence[CaseScore]]  # by the variant's name


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all variants have in common."""

    ctv: NetworkRecipe
    cohort: Cohort
    held_out: tuple[Path, ...]
    passes: int
    seed: int


def run_ablation(plan: Plan, out: Path, *, compute: Compute, on_standings: OnStandings) -> Scores:
    """Train what is not trained yet, score what is not scored yet, all below `out/<variant>/`.

    Raises `OtherLessons` if `out` was begun with another recipe or other training cases.
    """
    lessons = {
        "recipe": asdict(plan.ctv),
        "seed": plan.seed,
        "training cases": digests(plan.cohort.training),
        "validation cases": digests(plan.cohort.validation),
    }
    keep_to_lessons(out / "lessons.json", lessons)
    recipes = {variant.name: variant.recipe(plan.ctv) for variant in VARIANTS}
    train_networks(recipes, plan.cohort, out, seed=plan.seed, compute=compute, on_standings=on_standings)
    scoring: dict[str, Future[list[CaseScore]]] = {
        name: compute.pool.submit(
            _scored, recipe, out / name, plan.held_out, passes=plan.passes, device=str(compute.device)
        )
        for name, recipe in recipes.items()
    }
    return {name: future.result() for name, future in scoring.items()}


def comparisons(scores: Scores) -> list[Comparison]:
    """Paired tests of the DSC for every pair of `PAIRS`."""
    dsc = {name: [score.dsc for score in each] for name, each in scores.items()}
    return [compare(dsc[a.name], dsc[b.name], names=(a.name, b.name)) for a, b in PAIRS]


def _scored(
    recipe: NetworkRecipe, folder: Path, cases: Sequence[Path], *, passes: int, device: str
) -> list[CaseScore]:
    """Scores from the folder if they are of these weights, cases and passes, else measured and kept there."""
    file = folder / "scores.json"
    about: dict[str, Any] = {
        "weights": digest(Checkpoint(folder).best),
        "cases": digests(cases),
        "passes": passes,
    }
    if file.exists():
        stored = json.loads(file.read_text())
        if stored["about"] == about:
            return [CaseScore(**row) for row in stored["scores"]]
    scores = score_variant(recipe, Checkpoint(folder).best, cases, passes=passes, device=device)
    write_whole(file, json.dumps({"about": about, "scores": [asdict(score) for score in scores]}))
    return scores
