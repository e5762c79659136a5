"""What the probe makes of held-out phantoms: the DSC of each organ, all in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from models.evaluation.held_out_effects import CLINICAL, look_stream
from models.evaluation.metrics import dice
from models.recipes import NetworkRecipe
from models.structures import CHANNELS, STRUCTURES
from models.training.cases import load_case
from models.training.examples import pelvis_example


def _organ(channel: int) -> str:
    """The structure that a channel finds; the femoral heads share one."""
    names = [row.name for row in STRUCTURES if row.channel == channel]
    return names[0] if len(names) == 1 else names[0].removesuffix("_L") + "s"


ORGANS = tuple(_organ(channel) for channel in range(CHANNELS))
Scores = dict[int, dict[str, float]]  # DSC by case and organ; NaN where the case has no such organ


def score_probe(
    recipe: NetworkRecipe, weights: Path, cases: Mapping[int, Path], *, seed: int, device: str
) -> Scores:
    """DSC over the whole pelvis on the recipe's grid; a case's scan is the same for every network."""
    torch.set_num_threads(1)
    network = recipe.build()
    network.load_state_dict(load_file(weights))
    network.to(device).eval()
    scores: Scores = {}
    for index, path in cases.items():
        case, clinical = load_case(path), replace(recipe, effects=CLINICAL)
        example = pelvis_example(case, clinical, look_stream(seed, index), vary=False)
        with torch.inference_mode():
            contours = (network(example.x[None].to(device))[0] > 0).cpu().numpy()
        scores[index] = _dsc(contours, example.q.numpy() > 0.5)
    return scores


def _dsc(contours: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Per organ, of masks (channel, z, y, x)."""
    return {
        organ: dice(contours[channel], truth[channel]) if truth[channel].any() else float("nan")
        for channel, organ in enumerate(ORGANS)
    }


def of(scores: Scores, indices: Sequence[int], organ: str) -> list[float]:
    """One organ's DSC, case by case."""
    return [scores[index][organ] for index in indices]
