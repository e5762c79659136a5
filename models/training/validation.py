"""How good a network is between epochs: the Dice of its averaged weights on cases it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.recipes import NetworkRecipe
from models.training.batches import Batch, batch_of, example_of
from models.training.objective import main_logits
from models.training.precision import has_fast_bfloat16, mixed_precision


class Validation:
    """Mean Dice of the deterministic prediction, VOIs centred on the truth; the same examples in every epoch."""

    def __init__(self, recipe: NetworkRecipe, cases: Sequence[Path], device: torch.device) -> None:
        self.recipe, self.cases, self.device = recipe, cases, device
        self.network = recipe.build().to(device).eval()

    @torch.no_grad()
    def dice(self, weights: Mapping[str, Tensor]) -> float:
        """Of these weights, mean over cases (and channels)."""
        self.network.load_state_dict(weights)
        return float(np.mean([self._dice(batch.to(self.device)) for batch in self._batches]))

    def _dice(self, batch: Batch) -> float:
        with mixed_precision(self.device):
            output = self.network(batch.x)
        p, q = (main_logits(output) > 0).float(), batch.q.float()
        axes = (0, *range(2, q.dim()))
        return float((2 * (p * q).sum(axes) / ((p + q).sum(axes) + 1e-6)).mean())

    @cached_property
    def _batches(self) -> list[Batch]:
        """Drawn once and kept small: where autocast rounds the input to bfloat16 anyhow, it is rounded here."""
        return [self._batch(index, path) for index, path in enumerate(self.cases)]

    def _batch(self, index: int, path: Path) -> Batch:
        example = example_of(self.recipe, path, np.random.default_rng(index), vary=False)
        batch = batch_of([example], self.recipe)
        return Batch(batch.x.bfloat16() if has_fast_bfloat16(self.device) else batch.x, batch.q.bool(), None)
