"""What a variant of the CTV's network makes of held-out cases, and how variants compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from models.bounds import paper_bounds
from models.evaluation.band_coverage import band_coverage
from models.evaluation.metrics import dice
from models.evaluation.quality_scores import rank_correlation
from models.monte_carlo import Sampling, sample
from models.preprocessing import anatomy_guided_input
from models.recipes import NetworkRecipe
from models.stochastic import StochasticUNet
from models.training.augmentation import CENTRE_JITTER_MM, Cut, corrupt_mask
from models.training.batches import GUIDE
from models.training.cases import Case, load_case
from models.training.examples import GUIDES, scan


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """What one variant makes of one held-out case; the band is the paper's, uncalibrated."""

    case: str
    dsc: float
    quality: float
    band_mm: float  # NaN where the lower bound is empty


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One variant over all held-out cases; `band_mm` over those that have a lower bound."""

    variant: str
    cases: int
    dsc_mean: float
    dsc_sd: float
    quality_mean: float
    quality_sd: float
    quality_spearman: float  # with the DSC; NaN where either is constant or there are fewer than three cases
    band_mm: float


def score_variant(
    recipe: NetworkRecipe, weights: Path, cases: Sequence[Path], *, passes: int, device: str
) -> list[CaseScore]:
    """Sample every held-out case with trained weights."""
    torch.set_num_threads(1)
    network = recipe.build()
    if not isinstance(network, StochasticUNet):
        raise TypeError(f"{recipe.factory} cannot be sampled")
    network.load_state_dict(load_file(weights))
    network.to(device).eval()
    scores = []
    for number, path in enumerate(cases):
        x, truth = held_out_example(load_case(path), recipe, np.random.default_rng([number, len(cases)]))
        samples = sample(network, x[None].to(device), Sampling(passes=passes), structure="CTV")
        lower, upper = (field >= 0.5 for field in paper_bounds(samples.mean, samples.variance))
        band = band_coverage(lower, upper, truth, recipe.spacing_zyx_mm).width_mm
        contour = samples.mean >= 0.5
        scores.append(
            CaseScore(case=path.stem, dsc=dice(contour, truth), quality=samples.quality, band_mm=band)
        )
    return scores


def held_out_example(
    case: Case, recipe: NetworkRecipe, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.bool_]]:
    """The VOI as the localiser would place it, some mm beside the truth's centre, and the truth in it.

    The guide is a corrupted one, as in use: perfect organs would flatter the guided rows. The same generator gives
    every variant the same scan, place and guide.

    Returns:
        input (channel, z, y, x) and truth (z, y, x).
    """
    spacing = np.array(case.spacing_zyx_mm)
    cut = Cut(
        matrix=np.eye(3),
        centre_index_zyx=case.centre_of("CTV")
        + rng.uniform(-CENTRE_JITTER_MM, CENTRE_JITTER_MM, 3) / 2 / spacing,
        case_spacing_zyx_mm=case.spacing_zyx_mm,
        size_zyx=recipe.voi_size_zyx,
        spacing_zyx_mm=recipe.spacing_zyx_mm,
    )
    hu = scan(case, cut, rng, vary=False).numpy()
    truth, *organs = cut.masks_of(case, ["CTV", *GUIDES])
    bladder, rectum = (corrupt_mask(rng, organ).numpy() > 0.5 for organ in organs)
    channels = torch.from_numpy(anatomy_guided_input(hu, bladder, rectum))
    return channels if recipe.guided else channels[:GUIDE], truth.numpy() > 0.5


def summarise(variant: str, scores: Sequence[CaseScore]) -> Summary:
    """Means and spreads over the cases."""
    dsc, quality = (np.array([getattr(s, name) for s in scores]) for name in ("dsc", "quality"))
    bands = np.array([s.band_mm for s in scores])
    return Summary(
        variant=variant,
        cases=len(scores),
        dsc_mean=float(dsc.mean()),
        dsc_sd=float(dsc.std(ddof=1)),
        quality_mean=float(quality.mean()),
        quality_sd=float(quality.std(ddof=1)),
        quality_spearman=rank_correlation(quality, dsc),
        band_mm=float(np.nanmean(bands)) if np.isfinite(bands).any() else float("nan"),
    )
