"""One loop trains every network: steps, validation, average of weights, checkpoints, exact resume.

Whatever is random in a step follows from (seed, network, step) alone, so a run that was killed and resumed takes the
same steps as one that was not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.recipes import LOCALIZER, NetworkRecipe
from models.training.batches import batch_of_step, prefetched, with_structure
from models.training.checkpoint import Averaged, Checkpoint, Progress
from models.training.cohort import Cohort
from models.training.pulse import Pulse
from models.training.trainer import Trainer, is_sensitive
from models.training.validation import Validation

CPU = torch.device("cpu")
THREADS_PER_GPU = 6  # that draw examples: one alone would leave a GPU waiting

Report = Callable[[Progress], None]


def train_network(
    recipe: NetworkRecipe,
    cohort: Cohort,
    folder: Path,
    *,
    seed: int,
    device: torch.device = CPU,
    report: Report = lambda progress: None,
) -> Progress:
    """Train one network; resumes from `folder` if a checkpoint lies there. Leaves `best.safetensors`.

    `report` is called after every epoch.
    """
    training = with_structure(recipe, cohort.training)
    torch.manual_seed(seed)
    trainer, checkpoint = Trainer(recipe, device), Checkpoint(folder)
    validation = Validation(recipe, with_structure(recipe, cohort.validation), device)
    averaged = Averaged.of(trainer.network)
    progress = checkpoint.restore(trainer.network, averaged, trainer.optimizer)
    if is_finished(recipe, progress):
        return progress
    steps, pulse, losses = range(progress.step, recipe.steps), Pulse(folder), []
    draw = partial(batch_of_step, recipe, training, seed)
    with closing(prefetched(draw, steps, threads=_threads(device))) as batches:
        for batch in batches:
            losses.append(trainer.step(batch.to(device), progress.step))
            progress.step += 1
            averaged.update(trainer.network, progress.step)
            pulse.beat(progress.step, losses[-1])
            if progress.step % recipe.epoch_steps and progress.step < recipe.steps:
                continue
            progress.end_epoch(loss=float(np.mean(losses)), dice=validation.dice(averaged.weights))
            losses.clear()
            checkpoint.save(trainer.network, averaged, trainer.optimizer, progress)
            report(progress)
            if is_finished(recipe, progress):
                break
    return progress


def is_finished(recipe: NetworkRecipe, progress: Progress) -> bool:
    """Whether all steps are done, or validation has not improved for `patience` epochs.

    The localiser is not stopped before its last, sensitive steps.
    """
    if progress.step >= recipe.steps:
        return True
    stalled = progress.epochs_since_best >= recipe.patience
    return stalled and (recipe.name != LOCALIZER or is_sensitive(recipe, progress.step))


def _threads(device: torch.device) -> int:
    return 1 if device.type == "cpu" else min(THREADS_PER_GPU, os.cpu_count() or 1)
