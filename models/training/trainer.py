"""One step of gradient descent, and the schedules over all of them."""

from __future__ import annotations

import math
from itertools import groupby

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.recipes import LOCALIZER, NetworkRecipe
from models.stochastic import StochasticUNet
from models.training.batches import Batch
from models.training.objective import objective
from models.training.precision import mixed_precision

WARM_UP = 0.03
WEIGHT_DECAY = 1e-4
CLIP_NORM = 1.0
HEAD_HASTE = 5.0
SENSITIVE_SHARE = 0.25  # the localiser's last steps use L2 (paper: 10 of 40 epochs)
BAD_STEPS_IN_A_ROW = 10


class Trainer:
    """A network, its optimiser and its schedules, on one device."""

    def __init__(self, recipe: NetworkRecipe, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.network = recipe.build().to(device)
        if recipe.begin_with is not None:
            self.network.load_state_dict(load_file(recipe.begin_with))
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.network), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY
        )
        dropblocks = self.network.dropblocks() if isinstance(self.network, StochasticUNet) else []
        self.dropblocks = [(layer, layer.keep) for layer in dropblocks]
        self._bad_steps = 0

    def step(self, batch: Batch, step: int) -> float:
        """One step; returns the loss."""
        self._set_schedules(step / self.recipe.steps)
        self.network.train()
        torch.manual_seed(step)  # DropBlock's masks in training
        with mixed_precision(self.device):
            output = self.network(batch.x)
        loss = objective(output, batch, self.recipe, sensitive=is_sensitive(self.recipe, step))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._apply(nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM))
        return float(loss.detach())

    def _apply(self, norm: Tensor) -> None:
        """Take the step unless its gradient is not finite.

        oneDNN's bf16 weight gradient reads stray memory for volumes of two slices; better no step than that one.
        """
        self._bad_steps = 0 if torch.isfinite(norm) else self._bad_steps + 1
        if self._bad_steps == 0:
            self.optimizer.step()
        elif self._bad_steps >= BAD_STEPS_IN_A_ROW:
            raise FloatingPointError(
                f"{self.recipe.name}: {self._bad_steps} gradients in a row are not finite"
            )

    def _set_schedules(self, done: float) -> None:
        """Cosine learning rate after a warm-up; DropBlock from none to its target over the first half."""
        rate = min(1.0, (done + 1 / self.recipe.steps) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * max(rate, 0.01) * group["haste"]
        for layer, keep in self.dropblocks:
            layer.keep = 1 - (1 - keep) * min(1.0, 2 * done)


def is_sensitive(recipe: NetworkRecipe, step: int) -> bool:
    """Whether the step uses L2, which raises sensitivity: the localiser's last ones."""
    return recipe.name == LOCALIZER and step >= recipe.steps * (1 - SENSITIVE_SHARE)


def _parameter_groups(network: nn.Module) -> list[dict[str, object]]:
    """Parameters in their order, output heads apart: these learn faster.

    A head's few weights must grow tenfold before probabilities leave the middle; at the common rate that took longer
    than finding the organ.
    """
    runs = groupby(network.named_parameters(), key=lambda named: _is_head(named[0]))
    return [
        {"params": [parameter for _, parameter in run], "haste": HEAD_HASTE if is_head else 1.0}
        for is_head, run in runs
    ]


def _is_head(name: str) -> bool:
    return name.startswith(("head.", "auxiliary.", "distance_head."))
