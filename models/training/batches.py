"""What a step eats: batches that follow from (seed, network, step) alone, prepared ahead in the background."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from models.recipes import LOCALIZER, PELVIS, NetworkRecipe
from models.training.cases import load_case
from models.training.examples import Example, pelvis_example, slices_example, voi_example

OF_ALL_ORGANS = {LOCALIZER: slices_example, PELVIS: pelvis_example}
GUIDE = 2  # the CTV's input channel that shows the CT inside bladder and rectum
BATCHES_AHEAD = 2  # per thread

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Input x (batch, channel, ...), truth q (batch, outputs, ...), and for the CTV its distance map like q.

    For the localiser the batch is a stack of slices: (slices, channel, y, x).
    """

    x: Tensor
    q: Tensor
    distance: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The same on a device, with the channels last: a third of a step faster on a CPU."""
        x = self.x.to(device)
        x = x.contiguous(memory_format=torch.channels_last_3d if x.dim() == 5 else torch.channels_last)
        distance = None if self.distance is None else self.distance.to(device)
        return Batch(x, self.q.to(device), distance)


def batch_of_step(recipe: NetworkRecipe, cases: Sequence[Path], seed: int, step: int) -> Batch:
    """The varied examples of one step. Touches no global random state: it runs beside the training."""
    rng = np.random.default_rng([seed, zlib.crc32(recipe.name.encode()), step])
    count = 1 if recipe.name == LOCALIZER else recipe.batch
    chosen = rng.choice(len(cases), size=count, replace=len(cases) < count)
    return batch_of([example_of(recipe, cases[i], rng, vary=True) for i in chosen], recipe)


def example_of(recipe: NetworkRecipe, path: Path, rng: np.random.Generator, *, vary: bool) -> Example:
    """One example of a stored case, for the recipe's network."""
    make = OF_ALL_ORGANS.get(recipe.name, voi_example)
    example = make(load_case(path), recipe, rng, vary=vary)
    return example if recipe.guided else Example(example.x[:GUIDE], example.q, example.distance)


def batch_of(examples: Sequence[Example], recipe: NetworkRecipe) -> Batch:
    """Examples side by side."""
    if recipe.name == LOCALIZER:
        return Batch(examples[0].x, examples[0].q, None)
    distances = [e.distance for e in examples if e.distance is not None]
    return Batch(
        torch.stack([e.x for e in examples]),
        torch.stack([e.q for e in examples]),
        torch.stack(distances) if distances else None,
    )


def with_structure(recipe: NetworkRecipe, cases: Sequence[Path]) -> list[Path]:
    """The cases that show the network's structure: a clinic's may lack one. Of all organs, all cases count."""
    if recipe.name in OF_ALL_ORGANS:
        return list(cases)
    return [path for path in cases if load_case(path).mask(recipe.name).any()]


def prefetched(make: Callable[[int], T], steps: range, *, threads: int = 1) -> Generator[T]:
    """`make(step)` for each step in order, made ahead by `threads` threads; close it to stop early."""
    with ThreadPoolExecutor(threads, thread_name_prefix="prefetch") as pool:
        ahead: deque[Future[T]] = deque()
        try:
            for step in steps:
                ahead.append(pool.submit(make, step))
                if len(ahead) > BATCHES_AHEAD * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
