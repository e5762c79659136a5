"""What the two halves save: N passes after one deterministic part, against N whole forwards with the same draws."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.monte_carlo import DistanceMoments, Moments, Sampling, pass_generator, sample
from models.signed_distance import Spacing
from models.stochastic import StochasticUNet


@dataclass(frozen=True)
class McCost:
    """Seconds both ways, and how far their statistics differ (absolute, over all voxels)."""

    structure: str
    passes: int
    shared_s: float
    whole_s: float
    mean_difference: float
    variance_difference: float

    @property
    def ratio(self) -> float:
        """Our seconds by the naive way's."""
        return self.shared_s / self.whole_s


@torch.inference_mode()
def measure_mc(
    network: StochasticUNet,
    x: Tensor,
    *,
    structure: str,
    spacing_zyx_mm: Spacing,
    passes: int = 50,
    batch: int = 1,
) -> McCost:
    """Sample x (1, channel, z, y, x) both ways in one run, each with all its statistics; fp32.

    `batch` passes are computed together in our way; in the naive one each is a forward of its own.
    """
    warm = Sampling(passes=batch, batch=batch)  # neither way pays for the first call
    sample(network, x, warm, structure=structure, spacing_zyx_mm=spacing_zyx_mm)
    sampling = Sampling(passes=passes, batch=batch)
    start = time.perf_counter()
    shared = sample(network, x, sampling, structure=structure, spacing_zyx_mm=spacing_zyx_mm)
    shared_s = time.perf_counter() - start

    moments, distances = Moments(), DistanceMoments(sampling.level, spacing_zyx_mm)
    start = time.perf_counter()
    for number in range(passes):
        draws = [pass_generator(sampling.seed, structure, number)]
        p = network.stochastic_part(network.deterministic_part(x), draws)[0]
        moments.add(p)
        distances.add(p)
    mean, variance = moments.result()
    distances.result(mean.shape)
    whole_s = time.perf_counter() - start
    return McCost(
        structure,
        passes,
        shared_s,
        whole_s,
        float(np.abs(mean - shared.mean).max()),
        float(np.abs(variance - shared.variance).max()),
    )
