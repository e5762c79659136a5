"""From a case to what one training step eats: a VOI for the 3D networks, a stack of slices for the localiser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from models.losses import DISTANCE_SCALE_MM
from models.preprocessing import anatomy_guided_input, ct_channels
from models.recipes import NetworkRecipe
from models.structures import CHANNELS, STRUCTURES
from models.training.augmentation import (
    OTHER_SIDE,
    OUTSIDE_HU,
    corrupt_mask,
    cut,
    draw_move,
    vary_scanner,
)
from models.training.cases import Case


@dataclass(frozen=True)
class Example:
    """Input (channel, ...), truth (outputs, ...) in {0, 1}, and for the CTV its distance map (1, z, y, x)."""

    x: Tensor
    q: Tensor
    distance: Tensor | None = None


def voi_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """One VOI around the structure; with `vary` moved, roughened, and guided by corrupted organs."""
    truth = case.mask(recipe.name)
    flip = vary and recipe.name in OTHER_SIDE and rng.random() < 0.5
    if flip:
        truth = case.mask(OTHER_SIDE[recipe.name])
    centre = np.array(ndimage.center_of_mass(truth))
    move = draw_move(rng, centre, case, vary=vary)
    if recipe.name in OTHER_SIDE and move.flipped != flip:
        move = type(move)(move.matrix @ np.diag([1.0, 1.0, -1.0]), move.centre_index_zyx)

    def sample(volume: np.ndarray, outside: float = 0.0) -> Tensor:
        return cut(volume, case, move, recipe.voi_size_zyx, recipe.spacing_zyx_mm, outside=outside)

    hu = sample(case.hu, OUTSIDE_HU)
    if vary:
        hu = vary_scanner(rng, hu)
    q = (sample(truth) >= 0.5).float()
    if recipe.name != "CTV":
        return Example(torch.from_numpy(ct_channels(hu.numpy())), q[None])
    organs = [(sample(case.mask(name)) >= 0.5).float() for name in ("Bladder", "Rectum")]
    if vary:
        organs = [corrupt_mask(rng, organ) for organ in organs]
    guided = anatomy_guided_input(hu.numpy(), organs[0].numpy() > 0.5, organs[1].numpy() > 0.5)
    outside_mm = ndimage.distance_transform_edt(q.numpy() < 0.5, sampling=recipe.spacing_zyx_mm)
    distance = torch.from_numpy(np.minimum(outside_mm / DISTANCE_SCALE_MM, 1).astype(np.float32))
    return Example(torch.from_numpy(guided), q[None], distance[None])


def slices_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """Slices of the whole body for the localiser: x (slices, channel, y, x), q (slices, 5, y, x).

    Slices without any structure are dropped at random so that they do not outnumber the others (paper).
    """
    slices = case.hu.shape[0]
    filled = np.flatnonzero(case.labels.any((1, 2)))
    empty = np.setdiff1d(np.arange(slices), filled)
    chosen = np.arange(slices)
    if vary:
        some_empty = rng.permutation(empty)[: max(1, len(filled) // 6)]
        chosen = rng.permutation(np.concatenate([filled, some_empty]))[: recipe.batch]
    centre = (np.array(case.hu.shape) - 1) / 2
    move = draw_move(rng, centre, case, vary=vary)
    size = (slices, *recipe.voi_size_zyx[1:])
    picked = torch.from_numpy(chosen)

    def sample(volume: np.ndarray, outside: float = 0.0) -> Tensor:
        return cut(volume, case, move, size, recipe.spacing_zyx_mm, outside=outside, slices=picked)

    hu = sample(case.hu, OUTSIDE_HU)
    if vary:
        hu = vary_scanner(rng, hu)
    channels = torch.from_numpy(ct_channels(hu.numpy())).permute(1, 0, 2, 3)
    truth = torch.zeros(len(chosen), CHANNELS, *size[1:])
    for row in STRUCTURES:
        truth[:, row.channel] = torch.maximum(truth[:, row.channel], (sample(case.mask(row.name)) >= 0.5).float())
    return Example(channels, truth)
