"""Monte Carlo sampling: fifty passes, their moments in one sweep, and the quality of a contour.

Cost of N passes: one `deterministic_part`, N `stochastic_part`s and N distance maps; memory a few float32 volumes
and one bit per voxel and pass. `penumbra bench mc` measures it against N whole forwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from models.signed_distance import CLIP_MM, Spacing, signed_distance
from models.stochastic import StochasticUNet

FloatArray = NDArray[np.float32]
OnPass = Callable[[int], None]  # passes done so far


def passes_together(device_type: str) -> int:
    """How many passes to compute at a time: on a CPU one by one is fastest (SCIENCE 3.4), a GPU wants more to do."""
    return 8 if device_type == "cuda" else 1


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample."""

    passes: int = 50  # the paper's number
    batch: int = 1  # passes computed together: speed only, never the result; 1 is fastest on a CPU
    seed: int = 0  # same seed, same contours
    level: float = 0.5  # decision level of the mean contour

    def __post_init__(self) -> None:
        if self.passes < 1 or self.batch < 1:
            raise ValueError("passes and batch must be at least 1")

    def batches(self) -> Iterator[range]:
        """Pass numbers, in the groups that are computed together."""
        for first in range(0, self.passes, self.batch):
            yield range(first, min(first + self.batch, self.passes))


@dataclass(frozen=True)
class Distance:
    """Moments of the passes' signed distance to their surface (negative inside), clipped at ±`CLIP_MM`.

    Passes in which the structure was empty have no surface and do not count; without any pass that has one, the mean
    is `CLIP_MM` everywhere.

    Attributes:
        mean_mm: (z, y, x) float32.
        std_mm: population standard deviation, (z, y, x) float32.
    """

    mean_mm: FloatArray
    std_mm: FloatArray


@dataclass(frozen=True)
class Samples:
    """What the passes say.

    Attributes:
        mean: per voxel the mean probability, (z, y, x) float32 in [0, 1].
        variance: per voxel the population variance of the probability, (z, y, x) float32.
        quality: mean over the passes of DSC(pass >= level, mean >= level) (paper, contour quality); 0 when the mean
            contour is empty.
        vanished: share of passes in which the structure was empty.
        distance: moments of the distance to the surface, where `sample` was told the voxels' size.
    """

    mean: FloatArray
    variance: FloatArray
    quality: float
    vanished: float
    distance: Distance | None = None


class Moments:
    """Running mean and sum of squared deviations per voxel (Welford 1962), in double precision unless told else."""

    def __init__(self, *, dtype: torch.dtype = torch.float64) -> None:
        self.count = 0
        self._dtype = dtype
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, p: Tensor) -> None:
        """Take in one pass, (z, y, x)."""
        p = p.to(self._dtype)
        if self._mean is None or self._squares is None:
            self._mean, self._squares = torch.zeros_like(p), torch.zeros_like(p)
        self.count += 1
        deviation = p - self._mean
        self._mean += deviation / self.count
        self._squares.addcmul_(deviation, p - self._mean)

    def result(self) -> tuple[FloatArray, FloatArray]:
        """Mean and population variance, (z, y, x) float32."""
        if self._mean is None or self._squares is None:
            raise ValueError("no pass was added")
        variance = self._squares / self.count
        return self._mean.float().cpu().numpy(), variance.float().cpu().numpy()


class DistanceMoments:
    """Running moments of the signed distance. Single precision: a thousandth of a millimetre is plenty."""

    def __init__(self, level: float, spacing_zyx_mm: Spacing) -> None:
        self._level, self._spacing = level, spacing_zyx_mm
        self._moments = Moments(dtype=torch.float32)

    def add(self, p: Tensor) -> None:
        """Take in one pass, (z, y, x)."""
        distance = signed_distance(p, self._level, self._spacing)
        if distance is not None:
            self._moments.add(distance)

    def result(self, shape_zyx: tuple[int, ...]) -> Distance:
        """The moments of what was added."""
        if self._moments.count == 0:
            return Distance(np.full(shape_zyx, CLIP_MM, np.float32), np.zeros(shape_zyx, np.float32))
        mean, variance = self._moments.result()
        return Distance(mean, np.sqrt(variance))


def pass_generator(seed: int, structure: str, number: int) -> Generator:
    """The random stream of one pass: it depends on seed, structure and pass number only."""
    digest = hashlib.sha256(f"{seed}/{structure}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@torch.inference_mode()
def sample(
    network: StochasticUNet,
    x: Tensor,
    sampling: Sampling,
    *,
    structure: str,
    spacing_zyx_mm: Spacing | None = None,
    on_pass: OnPass | None = None,
) -> Samples:
    """Sample one structure.

    Args:
        network: in `eval()` mode, on the device of x.
        x: the VOI, (1, channel, z, y, x).
        sampling: number of passes, seed, level.
        structure: its name; part of each pass' random stream.
        spacing_zyx_mm: distance of voxel centres; given, the passes' distance to their surface is sampled too.
        on_pass: called after each batch with the number of passes done; may raise to stop.
    """
    shared = network.deterministic_part(x)
    moments, votes = Moments(), []
    distances = DistanceMoments(sampling.level, spacing_zyx_mm) if spacing_zyx_mm else None
    for numbers in sampling.batches():
        draws = [pass_generator(sampling.seed, structure, number) for number in numbers]
        for p in network.stochastic_part(shared, draws):
            moments.add(p)
            if distances is not None:
                distances.add(p)
            votes.append(np.packbits((p >= sampling.level).cpu().numpy()))
        if on_pass is not None:
            on_pass(numbers.stop)
    mean, variance = moments.result()
    dice = [_dice(vote, np.packbits(mean >= sampling.level)) for vote in votes]
    return Samples(
        mean=mean,
        variance=variance,
        quality=float(np.mean(dice)),
        vanished=float(np.mean([not vote.any() for vote in votes])),
        distance=distances.result(mean.shape) if distances is not None else None,
    )


def _dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """DSC of two masks given as packed bits; 0 when both are empty."""
    size = int(np.bitwise_count(a).sum()) + int(np.bitwise_count(b).sum())
    return 2 * int(np.bitwise_count(a & b).sum()) / size if size else 0.0
