"""What drawing costs: an anatomy once, and a varied scan of it for every example that a network learns from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.recipes import NetworkRecipe
from models.training.batches import batch_of_step


@dataclass(frozen=True)
class ExampleCost:
    """Of one network's examples, on one core; of the localiser a stack of slices counts as one."""

    network: str
    examples: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Examples that one core draws in a second."""
        return self.examples / self.seconds


def measure_examples(
    recipe: NetworkRecipe, cases: Sequence[Path], *, steps: int, seed: int = 0
) -> ExampleCost:
    """Draw the varied examples of so many training steps in this thread, as training does."""
    batch_of_step(recipe, cases, seed, steps)  # nobody counts the first
    start = time.perf_counter()
    stacks = [len(batch_of_step(recipe, cases, seed, step).q) for step in range(steps)]
    seconds = time.perf_counter() - start
    localiser = recipe.voi_size_zyx[0] == 1
    return ExampleCost(recipe.name, steps if localiser else sum(stacks), seconds)
