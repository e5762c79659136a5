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
MIN_CASES = 4

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
    count = recipe.training_cases + recipe.validation_cases
    paths = draw_phantoms(recipe, folder, count, workers=workers, atlas=atlas, on_case=on_case)
    facts: dict[str, str | int] = {"cohort": PHANTOMS, "cohort_seed": recipe.cohort_seed}
    facts["anatomies"] = ANATOMIES_CITATION if atlas == SHIPPED else f"an atlas of its own: {atlas.name}"
    return _split(paths, recipe.training_cases, facts)


def clinic_cohort(recipe: Recipe, folder: Path) -> Cohort:
    """A folder of prepared cases, split by sorted path in the recipe's shares; raises `ValueError` if too few."""
    paths = prepared_cases(folder)
    training, _ = shares(len(paths), recipe.training_cases, recipe.validation_cases)
    split = f"by sorted path, {recipe.training_cases}:{recipe.validation_cases}"
    return _split(paths, training, {"cohort": PREPARED, "split": split})


def with_held_out(recipe: Recipe, paths: Sequence[Path]) -> tuple[Cohort, tuple[Path, ...]]:
    """Training, validation, and cases that neither sees, by sorted path in the recipe's shares.

    Raises `ValueError` if there are too few to compare anything on.
    """
    first, second, held_out = shares(
        len(paths), recipe.training_cases, recipe.validation_cases, recipe.held_out_cases
    )
    if held_out < 2 or first < 1:
        raise ValueError(f"{len(paths)} cases leave {held_out} held out; at least 2 are needed")
    return _split(paths[: first + second], first, {}), tuple(paths[-held_out:])


def prepared_cases(folder: Path) -> list[Path]:
    """All prepared cases of a folder, sorted; raises `ValueError` if there are too few to divide."""
    paths = sorted(folder.glob("*.npz"))
    if len(paths) < MIN_CASES:
        raise ValueError(f"{folder} holds {len(paths)} prepared cases; at least {MIN_CASES} are needed")
    return paths


def draw_phantoms(
    recipe: Recipe, folder: Path, count: int, *, workers: int, atlas: Path, on_case: OnCase
) -> list[Path]:
    """Draw the first `count` phantoms of the recipe's seed, in order of their index."""
    drawn: list[Path] = []
    for path in draw_cases(folder, seed=recipe.cohort_seed, count=count, workers=workers, atlas=atlas):
        drawn.append(path)
        on_case(len(drawn), count)
    return sorted(drawn)


def shares(count: int, *parts: int) -> tuple[int, ...]:
    """Divide `count` in the proportion of `parts`; the others get theirs rounded, a half down, but at least 1.

    The first takes what that leaves, so that halves go to training. In whole numbers: `round` would take a half up or
    down by turns.
    """
    whole = sum(parts)
    rest = [max(1, (2 * count * part + whole - 1) // (2 * whole)) for part in parts[1:]]
    return (count - sum(rest), *rest)


def _split(paths: Sequence[Path], training: int, facts: Mapping[str, str | int]) -> Cohort:
    """The first `training` cases train, the others validate."""
    counts = {"training_cases": training, "validation_cases": len(paths) - training}
    return Cohort(
        training=tuple(paths[:training]), validation=tuple(paths[training:]), facts={**facts, **counts}
    )
