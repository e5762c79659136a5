"""From a case to what one training step eats: a VOI for the 3D networks, a stack of slices for the localiser."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from models.losses import DISTANCE_SCALE_MM
from models.preprocessing import anatomy_guided_input, ct_channels
from models.recipes import NetworkRecipe
from models.structures import CHANNELS, STRUCTURES
from models.training.augmentation import OTHER_SIDE, OUTSIDE_HU, Cut, corrupt_mask, vary_scanner
from models.training.cases import Case


@dataclass(frozen=True)
class Example:
    """Input (channel, ...), truth (outputs, ...) in {0, 1}, and for the CTV its distance map (1, z, y, x)."""

    x: Tensor
    q: Tensor
    distance: Tensor | None = None


def voi_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """One VOI around the structure; with `vary` moved, roughened, and guided by corrupted organs."""
    flip = vary and recipe.name in OTHER_SIDE and rng.random() < 0.5
    truth = case.mask(OTHER_SIDE[recipe.name] if flip else recipe.name)
    cut = _cut(case, recipe, np.array(ndimage.center_of_mass(truth)))
    if vary:
        cut = cut.moved(rng)
    if recipe.name in OTHER_SIDE and cut.flipped != flip:
        cut = cut.mirrored()
    hu = cut.of(case.hu, outside=OUTSIDE_HU)
    if vary:
        hu = vary_scanner(rng, hu)
    q = (cut.of(truth) >= 0.5).float()
    if recipe.name != "CTV":
        return Example(torch.from_numpy(ct_channels(hu.numpy())), q[None])
    organs = [(cut.of(case.mask(name)) >= 0.5).float() for name in ("Bladder", "Rectum")]
    if vary:
        organs = [corrupt_mask(rng, organ) for organ in organs]
    guided = anatomy_guided_input(hu.numpy(), organs[0].numpy() > 0.5, organs[1].numpy() > 0.5)
    return Example(torch.from_numpy(guided), q[None], _distance_map(q, recipe)[None])


def slices_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """Slices of the whole body for the localiser: x (slices, channel, y, x), q (slices, 5, y, x)."""
    chosen = _balanced_slices(case, recipe, rng) if vary else np.arange(case.hu.shape[0])
    cut = _cut(case, recipe, (np.array(case.hu.shape) - 1) / 2)
    cut = replace(cut, size_zyx=(case.hu.shape[0], *recipe.voi_size_zyx[1:]), slices=torch.from_numpy(chosen))
    if vary:
        cut = cut.moved(rng)
    hu = cut.of(case.hu, outside=OUTSIDE_HU)
    if vary:
        hu = vary_scanner(rng, hu)
    truth = torch.zeros(CHANNELS, *hu.shape)
    for row in STRUCTURES:
        truth[row.channel] = torch.maximum(truth[row.channel], (cut.of(case.mask(row.name)) >= 0.5).float())
    channels = torch.from_numpy(ct_channels(hu.numpy()))
    return Example(channels.transpose(0, 1), truth.transpose(0, 1))


def _cut(case: Case, recipe: NetworkRecipe, centre_zyx: NDArray[np.float64]) -> Cut:
    """The recipe's VOI around a point of the case, unmoved."""
    return Cut(
        matrix=np.eye(3),
        centre_index_zyx=centre_zyx,
        case_spacing_zyx_mm=case.spacing_zyx_mm,
        size_zyx=recipe.voi_size_zyx,
        spacing_zyx_mm=recipe.spacing_zyx_mm,
    )


def _balanced_slices(case: Case, recipe: NetworkRecipe, rng: np.random.Generator) -> NDArray[np.intp]:
    """A batch of slices in which those without any structure are few (paper: dropped at random)."""
    labelled = case.labels.any((1, 2))
    filled, empty = np.flatnonzero(labelled), np.flatnonzero(~labelled)
    some_empty = rng.permutation(empty)[: max(1, len(filled) // 6)]
    return rng.permutation(np.concatenate([filled, some_empty]))[: recipe.batch]


def _distance_map(q: Tensor, recipe: NetworkRecipe) -> Tensor:
    """0 inside the truth, distance to it outside, in units of `DISTANCE_SCALE_MM`, at most 1; (z, y, x)."""
    outside_mm = ndimage.distance_transform_edt(q.numpy() < 0.5, sampling=recipe.spacing_zyx_mm)
    return torch.from_numpy(np.minimum(outside_mm / DISTANCE_SCALE_MM, 1).astype(np.float32))
