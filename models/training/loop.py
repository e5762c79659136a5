"""One loop trains every network: steps, validation, average of weights, checkpoints, exact resume.

Whatever is random in a step follows from (seed, network, step) alone, so a run that was killed and resumed takes the
same steps as one that was not.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ag_mtn import AGMTNOutput
from models.losses import ctv_loss, dice_loss, sensitive_dice_loss
from models.recipes import LOCALIZER, NetworkRecipe
from models.stochastic import StochasticUNet
from models.training.cases import Case, load_case
from models.training.checkpoint import Averaged, Checkpoint, Progress
from models.training.examples import Example, slices_example, voi_example

EPOCH_STEPS = 100
WARM_UP = 0.03
WEIGHT_DECAY = 1e-4
CLIP_NORM = 1.0
HEAD_HASTE = 5.0
# Weight of a structure's pixels in the localiser, by channel; unweighted, the bulb is never found.
RARITY = (2.0, 2.0, 4.0, 2.0, 60.0)
SENSITIVE_SHARE = 0.25  # the localiser's last steps use L2 (paper: 10 of 40 epochs)

Batch = tuple[Tensor, Tensor, Tensor | None]  # x, q, the CTV's distance map
Output = Tensor | AGMTNOutput
Report = Callable[[Progress, float], None]  # progress, loss of the last epoch


def train_network(
    recipe: NetworkRecipe,
    *,
    training: Sequence[Path],
    validation: Sequence[Path],
    folder: Path,
    seed: int,
    report: Report,
) -> Progress:
    """Train one network; resumes from `folder` if a checkpoint lies there. Leaves `best.safetensors`."""
    torch.manual_seed(seed)
    trainer = _Trainer(recipe)
    averaged, checkpoint = Averaged.of(trainer.network), Checkpoint(folder)
    progress = checkpoint.restore(trainer.network, averaged, trainer.optimizer)
    losses: list[float] = []
    while progress.step < recipe.steps:
        rng = np.random.default_rng([seed, zlib.crc32(recipe.name.encode()), progress.step])
        losses.append(trainer.step(_batch(recipe, training, rng), progress.step))
        progress.step += 1
        averaged.update(trainer.network, progress.step)
        if progress.step % EPOCH_STEPS == 0 or progress.step == recipe.steps:
            dice = validate(recipe, averaged.weights, validation)
            loss = float(np.mean(losses))
            losses.clear()
            progress.history.append({"step": progress.step, "loss": loss, "dice": dice})
            if dice > progress.best_dice:
                progress.best_dice = dice
                checkpoint.save_best(averaged)
            checkpoint.save(trainer.network, averaged, trainer.optimizer, progress)
            report(progress, loss)
    return progress


@torch.no_grad()
def validate(recipe: NetworkRecipe, weights: dict[str, Tensor], cases: Sequence[Path]) -> float:
    """Mean Dice of the deterministic prediction over validation cases, VOIs centred on the truth."""
    network = recipe.build()
    network.load_state_dict(weights)
    network.eval()
    scores: list[float] = []
    for path in cases:
        example = _example(recipe, path, np.random.default_rng(0), vary=False)
        x, q = _as_batch([example], recipe)[:2]
        with torch.autocast("cpu", torch.bfloat16):
            output = network(x)
        p = (_main_logits(output).float() > 0).float()
        axes = (0, 2, 3) if recipe.name == LOCALIZER else (0, 2, 3, 4)
        scores.append(float((2 * (p * q).sum(axes) / ((p + q).sum(axes) + 1e-6)).mean()))
    return float(np.mean(scores))


class _Trainer:
    """A network, its optimiser and its schedules."""

    def __init__(self, recipe: NetworkRecipe) -> None:
        self.recipe = recipe
        self.network = recipe.build()
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.network), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY
        )
        dropblocks = self.network.dropblocks() if isinstance(self.network, StochasticUNet) else []
        self.dropblocks = [(layer, layer.keep) for layer in dropblocks]

    def step(self, batch: Batch, step: int) -> float:
        """One step of gradient descent; returns the loss."""
        self._set_schedules(step / self.recipe.steps)
        self.network.train()
        torch.manual_seed(step)  # DropBlock's masks in training
        x, q, distance = batch
        with torch.autocast("cpu", torch.bfloat16):
            output = self.network(x)
        late = step >= self.recipe.steps * (1 - SENSITIVE_SHARE)
        loss = _loss(output, q, distance, sensitive=late and self.recipe.name == LOCALIZER)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        # oneDNN's bf16 weight gradient reads stray memory for volumes of two slices; better no step than that one.
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM, error_if_nonfinite=True)
        self.optimizer.step()
        return float(loss.detach())

    def _set_schedules(self, done: float) -> None:
        """Cosine learning rate after a warm-up; DropBlock from none to its target over the first half."""
        rate = min(1.0, (done + 1 / self.recipe.steps) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * max(rate, 0.01) * group["haste"]
        for layer, keep in self.dropblocks:
            layer.keep = 1 - (1 - keep) * min(1.0, 2 * done)


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


def _loss(output: Output, q: Tensor, distance: Tensor | None, *, sensitive: bool) -> Tensor:
    """The paper's loss plus cross-entropy: Dice alone leaves probabilities uncalibrated (SCIENCE 2.2)."""
    logits = _main_logits(output).float()
    rarity = torch.tensor(RARITY)[:, None, None] if q.dim() == 4 else None
    entropy = F.binary_cross_entropy_with_logits(logits, q, pos_weight=rarity)
    if isinstance(output, AGMTNOutput) and distance is not None:
        return entropy + ctv_loss(output.float(), q, distance)
    p = torch.sigmoid(logits)
    if q.dim() == 4:  # the localiser: one Dice per channel over the stack of slices
        p, q = p.transpose(0, 1), q.transpose(0, 1)
    return entropy + (sensitive_dice_loss(p, q) if sensitive else dice_loss(p, q))


def _main_logits(output: Output) -> Tensor:
    return output.segmentation if isinstance(output, AGMTNOutput) else output


def _batch(recipe: NetworkRecipe, cases: Sequence[Path], rng: np.random.Generator) -> Batch:
    count = 1 if recipe.name == LOCALIZER else recipe.batch
    chosen = rng.choice(len(cases), size=count, replace=False)
    return _as_batch([_example(recipe, cases[i], rng, vary=True) for i in chosen], recipe)


def _example(recipe: NetworkRecipe, path: Path, rng: np.random.Generator, *, vary: bool) -> Example:
    make = slices_example if recipe.name == LOCALIZER else voi_example
    return make(_case(path), recipe, rng, vary=vary)


def _as_batch(examples: list[Example], recipe: NetworkRecipe) -> Batch:
    if recipe.name == LOCALIZER:
        return examples[0].x, examples[0].q, None
    distances = [e.distance for e in examples if e.distance is not None]
    x = torch.stack([e.x for e in examples]).contiguous(memory_format=torch.channels_last_3d)
    return x, torch.stack([e.q for e in examples]), torch.stack(distances) if distances else None


@lru_cache(maxsize=256)
def _case(path: Path) -> Case:
    return load_case(path)
