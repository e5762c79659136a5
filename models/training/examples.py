"""From a case to what one training step eats: a VOI for the 3D networks, a stack of slices for the localiser."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from models.losses import DISTANCE_SCALE_MM
from models.phantom.appearance import EVERYTHING, Appearance, add_noise, render
from models.phantom.effects import Effects
from models.preprocessing import anatomy_guided_input, ct_channels
from models.recipes import NetworkRecipe
from models.structures import CHANNELS, STRUCTURES
from models.training.augmentation import OTHER_SIDE, OUTSIDE_HU, Cut, corrupt_mask, vary_scanner
from models.training.cases import Case, corner_of

GUIDES = ("Bladder", "Rectum")
SLICES_OWED = 2  # to each structure, in a batch of the localiser
FINE_MM = 2.0  # rows and columns nearer than this are more than the localiser needs
BLUR_VOXELS = 4  # what lies this near outside a VOI blurs into it


@dataclass(frozen=True)
class Example:
    """Input (channel, ...), truth (outputs, ...) in {0, 1}, and for the CTV its distance map (1, z, y, x)."""

    x: Tensor
    q: Tensor
    distance: Tensor | None = None


def voi_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """One VOI around the structure; with `vary` moved, roughened, and guided by corrupted organs."""
    flip = vary and recipe.name in OTHER_SIDE and rng.random() < 0.5
    structure = OTHER_SIDE[recipe.name] if flip else recipe.name
    cut = _cut(case, recipe, case.centre_of(structure))
    if vary:
        cut = cut.moved(rng)
    if recipe.name in OTHER_SIDE and cut.flipped != flip:
        cut = cut.mirrored()
    hu = scan(case, cut, rng, vary=vary, effects=recipe.effects)
    q, *organs = cut.masks_of(case, [structure, *GUIDES] if recipe.name == "CTV" else [structure])
    if recipe.name != "CTV":
        return Example(torch.from_numpy(ct_channels(hu.numpy())), q[None])
    if vary:
        organs = [corrupt_mask(rng, organ) for organ in organs]
    guided = anatomy_guided_input(hu.numpy(), organs[0].numpy() > 0.5, organs[1].numpy() > 0.5)
    return Example(torch.from_numpy(guided), q[None], _distance_map(q, recipe)[None])


def slices_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """Slices of the whole body for the localiser: x (slices, channel, y, x), q (slices, 5, y, x)."""
    case = _thinned(case)
    depth = max(1, round(case.shape_zyx[0] * case.spacing_zyx_mm[0] / recipe.spacing_zyx_mm[0]))
    cut = _cut(case, recipe, (np.array(case.shape_zyx) - 1) / 2)
    cut = replace(cut, size_zyx=(depth, *recipe.voi_size_zyx[1:]))
    chosen = _balanced_slices(case, cut, recipe, rng) if vary else np.arange(depth)
    cut = replace(cut, slices=torch.from_numpy(chosen))
    if vary:
        cut = cut.moved(rng)
    example = _all_organs(case, cut, recipe, rng, vary=vary)
    return Example(example.x.transpose(0, 1), example.q.transpose(0, 1))


def pelvis_example(case: Case, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool) -> Example:
    """The whole pelvis on the recipe's coarse grid: x (channel, z, y, x), q (5, z, y, x)."""
    cut = _cut(case, recipe, (np.array(case.shape_zyx) - 1) / 2)
    return _all_organs(case, cut.moved(rng) if vary else cut, recipe, rng, vary=vary)


def _all_organs(
    case: Case, cut: Cut, recipe: NetworkRecipe, rng: np.random.Generator, *, vary: bool
) -> Example:
    """What a cut shows, and the localiser's five channels in it; both (channel, z, y, x)."""
    hu = scan(case, cut, rng, vary=vary, effects=recipe.effects)
    truth = torch.zeros(CHANNELS, *hu.shape)
    for row, mask in zip(STRUCTURES, cut.masks_of(case, [row.name for row in STRUCTURES]), strict=True):
        truth[row.channel] = torch.maximum(truth[row.channel], mask)
    return Example(torch.from_numpy(ct_channels(hu.numpy())), truth)


def _cut(case: Case, recipe: NetworkRecipe, centre_zyx: NDArray[np.float64]) -> Cut:
    """The recipe's VOI around a point of the case, unmoved."""
    return Cut(
        matrix=np.eye(3),
        centre_index_zyx=centre_zyx,
        case_spacing_zyx_mm=case.spacing_zyx_mm,
        size_zyx=recipe.voi_size_zyx,
        spacing_zyx_mm=recipe.spacing_zyx_mm,
    )


def scan(
    case: Case, cut: Cut, rng: np.random.Generator, *, vary: bool, effects: Effects = EVERYTHING
) -> Tensor:
    """CT numbers of a VOI, (z, y, x) HU: those of the case's CT, or a new scan of the phantom with these effects."""
    if case.hu is not None:
        hu = cut.of(case.hu, outside=OUTSIDE_HU)
        return vary_scanner(rng, hu) if vary else hu
    if case.tissue is None:
        raise ValueError("a case without CT numbers has tissues")
    appearance = Appearance.draw(rng, effects=effects)
    box = cut.box(case.shape_zyx, margin=BLUR_VOXELS)
    rendered = render(case.tissue[box], case.spacing_zyx_mm, appearance, rng)
    hu = cut.of(rendered, outside=OUTSIDE_HU, corner_zyx=corner_of(box))
    return torch.from_numpy(add_noise(hu.numpy(), cut.spacing_zyx_mm, appearance, rng))


def _thinned(case: Case) -> Case:
    """Every other row and column of a fine case: enough for the localiser, for a quarter of the cost."""
    dz, dy, dx = case.spacing_zyx_mm
    if min(dy, dx) >= FINE_MM:
        return case
    return Case(
        labels=case.labels[:, ::2, ::2],
        spacing_zyx_mm=(dz, 2 * dy, 2 * dx),
        hu=None if case.hu is None else case.hu[:, ::2, ::2],
        tissue=None if case.tissue is None else case.tissue[:, ::2, ::2],
    )


def _balanced_slices(
    case: Case, cut: Cut, recipe: NetworkRecipe, rng: np.random.Generator
) -> NDArray[np.intp]:
    """A batch of slices in which every structure occurs and those without any are few (paper: dropped at random)."""
    middle = cut.index[:, 0, 0, 0].round().long().clamp(0, case.shape_zyx[0] - 1).numpy()
    shown = np.array([np.asarray(case.mask(row.name).any((1, 2)))[middle] for row in STRUCTURES])
    owed = [rng.permutation(np.flatnonzero(one))[:SLICES_OWED] for one in shown]
    filled, empty = np.flatnonzero(shown.any(0)), np.flatnonzero(~shown.any(0))
    others = rng.permutation(np.concatenate([filled, rng.permutation(empty)[: max(2, len(filled) // 3)]]))
    chosen = list(dict.fromkeys([*np.concatenate(owed).tolist(), *others.tolist()]))[: recipe.batch]
    return rng.permutation(np.array(chosen, dtype=np.intp))


def _distance_map(q: Tensor, recipe: NetworkRecipe) -> Tensor:
    """0 inside the truth, distance to it outside, in units of `DISTANCE_SCALE_MM`, at most 1; (z, y, x)."""
    outside_mm = ndimage.distance_transform_edt(q.numpy() < 0.5, sampling=recipe.spacing_zyx_mm)
    return torch.from_numpy(np.minimum(outside_mm / DISTANCE_SCALE_MM, 1).astype(np.float32))
