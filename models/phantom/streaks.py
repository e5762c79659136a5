"""Streaks: from metal, and the dark band that bones leave between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom.lattice import FloatArray
from models.phantom.texture import Triple
from models.phantom.tissue import Tissue

BAND_SHARE = 0.2
FULL_BAND_MM = 25.0  # of dense bone on either side


@dataclass(frozen=True, kw_only=True)
class StreakLook:
    """Artefacts of one scan."""

    clip_hu: float  # typical size of a streak 15 mm from a clip
    prosthesis_hu: float  # 40 mm from a metal hip
    band_hu: float  # deepest darkening between bones that lie in one ray

    @staticmethod
    def draw(rng: np.random.Generator) -> StreakLook:
        """Draw how far a scanner corrects metal and beam hardening."""
        return StreakLook(
            clip_hu=rng.uniform(10, 90),
            prosthesis_hu=float(np.exp(rng.uniform(np.log(30), np.log(400)))),
            band_hu=rng.uniform(10, 40) if rng.random() < BAND_SHARE else 0.0,
        )


def add_streaks(
    hu: FloatArray,
    tissue_zyx: NDArray[np.uint8],
    spacing_zyx_mm: Triple,
    *,
    look: StreakLook,
    rng: np.random.Generator,
) -> None:
    """Add streaks to an image in place, (z, y, x)."""
    if look.band_hu > 0:
        _darken_between_bones(hu, tissue_zyx, spacing_zyx_mm, look.band_hu)


def _darken_between_bones(
    hu: FloatArray, tissue_zyx: NDArray[np.uint8], spacing_zyx_mm: Triple, band_hu: float
) -> None:
    """Beam hardening: the more bone on both sides of a voxel along x, the darker it is."""
    bone = np.zeros(len(Tissue), np.float32)
    bone[[Tissue.CORTEX, Tissue.MARROW, Tissue.FEMUR_MARROW]] = (1.0, 0.35, 0.35)
    to_the_right = np.cumsum(bone[tissue_zyx], axis=2, dtype=np.float32)
    to_the_left = to_the_right[:, :, -1:] - to_the_right
    both = np.sqrt(to_the_right * to_the_left) * np.float32(spacing_zyx_mm[2] / FULL_BAND_MM)
    hu -= np.float32(band_hu) * np.minimum(both, np.float32(1.3))
