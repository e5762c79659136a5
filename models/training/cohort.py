"""Which cases train and which validate: phantoms drawn for it, or a clinic's prepared cases, by one path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.phantom.atlas import SHIPPED
from models.recipes import Recipe
from models.training.cases import draw_cases

PHANTOMS = "models.phantom"
PREPARED = "prepared cases"
ANATOMIES_CITATION = (
    "bones, muscles and skin fitted to the Pelvic Reference Data, "
    "labels by github.com/yuta-hi/pelvic-annonation, MIT"
)
MIN_CASES = 3

OnCase = Callable[[int, int], None]  # cases that are there, of how many


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The files of the cases, and what the manifest says of them."""

    training: tuple[Path, ...]
    validation: tuple[Path, ...]
    facts: Mapping[str, str | int] = field(default_factory=dict)


def phantom_cohort(recipe: Recipe, folder: Path, *, workers: int, atlas: Path, on_case: OnCase) -> Cohort:
    """Draw the recipe's phantoms into `folder` (those that are there are kept); split by index.

    `atlas` holds the bones and muscles that they take (`models.phantom.atlas`).
    """
    paths = prepare_phantoms(recipe, folder, workers=workers, atlas=atlas, on_case=on_case)
    facts: dict[str, str | int] = {"cohort": PHANTOMS, "cohort_seed": recipe.cohort_seed}
    facts["anatomies"] = ANATOMIES_CITATION if atlas == SHIPPED else f"an atlas of its own: {atlas.name}"
    return _split(paths, recipe.training_cases, facts)


def clinic_cohort(recipe: Recipe, folder: Path) -> Cohort:
    """A folder of prepared cases, split by sorted path in the recipe's shares; raises `ValueError` if too few."""
    paths = sorted(folder.glob("*.npz"))
    if len(paths) < MIN_CASES:
        raise ValueError(f"{folder} holds {len(paths)} prepared cases; at least {MIN_CASES} are needed")
    share = recipe.training_cases / (recipe.training_cases + recipe.validation_cases)
    training = min(len(paths) - 1, max(1, round(len(paths) * share)))
    split = f"by sorted path, {recipe.training_cases}:{recipe.validation_cases}"
    return _split(paths, training, {"cohort": PREPARED, "split": split})


def prepare_phantoms(
    recipe: Recipe, folder: Path, *, workers: int, atlas: Path, on_case: OnCase
) -> list[Path]:
    """Draw the recipe's phantoms, in order of their index."""
    count = recipe.training_cases + recipe.validation_cases
    drawn: list[Path] = []
    for path in draw_cases(folder, seed=recipe.cohort_seed, count=count, workers=workers, atlas=atlas):
        drawn.append(path)
        on_case(len(drawn), count)
    return sorted(drawn)


def _split(paths: Sequence[Path], training: int, facts: Mapping[str, str | int]) -> Cohort:
    cohort = Cohort(training=tuple(paths[:training]), validation=tuple(paths[training:]))
    counts = {"training_cases": len(cohort.training), "validation_cases": len(cohort.validation)}
    return Cohort(training=cohort.training, validation=cohort.validation, facts={**facts, **counts})
