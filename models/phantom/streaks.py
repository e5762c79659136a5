"""Artefacts in the slice: streaks from metal, and the dark band that bones leave between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom.lattice import FloatArray
from models.phantom.metal import metal_streaks
from models.phantom.texture import Fields, Triple
from models.phantom.tissue import Tissue

BAND_SHARE = 0.2
SHADING_MM = 90.0
FULL_BAND_MM = 25.0  # of dense bone on either side


@dataclass(frozen=True, kw_only=True)
class Metal:
    """A kind of metal: how streaks of it are computed."""

    tissue: Tissue
    size_mm: float  # a usual thickness
    step_mm: float  # of the grid for the streaks
    reach_mm: float  # how far streaks are followed
    unit: float  # 1 / spread of `metal_streaks` at the distance that the strength is said for


CLIP = Metal(tissue=Tissue.CLIP, size_mm=3, step_mm=1.4, reach_mm=70, unit=100)
PROSTHESIS = Metal(tissue=Tissue.PROSTHESIS, size_mm=30, step_mm=3, reach_mm=1000, unit=80)


@dataclass(frozen=True, kw_only=True)
class StreakLook:
    """Artefacts of one scan."""

    clip_hu: float  # spread of the streaks 15 mm from a clip of 3 mm
    prosthesis_hu: float  # and 40 mm from a metal hip
    band_hu: float  # darkening between bones, 25 mm of dense bone on either side
    shading_hu: float  # spread of slow shading over the image, as scatter leaves it

    @staticmethod
    def draw(rng: np.random.Generator) -> StreakLook:
        """Draw how far a scanner corrects metal and beam hardening."""
        return StreakLook(
            clip_hu=rng.uniform(5, 60),
            prosthesis_hu=float(np.exp(rng.uniform(np.log(10), np.log(100)))),
            band_hu=rng.uniform(10, 40) if rng.random() < BAND_SHARE else 0.0,
            shading_hu=rng.uniform(0, 7),
        )


def add_streaks(
    hu: FloatArray,
    tissue_zyx: NDArray[np.uint8],
    spacing_zyx_mm: Triple,
    *,
    look: StreakLook,
    rng: np.random.Generator,
) -> None:
    """Add shading and streaks to an image in place, (z, y, x)."""
    hu += np.float32(look.shading_hu) * Fields(rng, hu.shape, spacing_zyx_mm).smooth(SHADING_MM)
    if look.band_hu > 0:
        _darken_between_bones(hu, tissue_zyx, spacing_zyx_mm[2], look.band_hu)
    for metal, strength in ((CLIP, look.clip_hu), (PROSTHESIS, look.prosthesis_hu)):
        where = tissue_zyx == metal.tissue
        if where.any():
            streaks, box = _streaks_near(where, spacing_zyx_mm, metal, rng)
            hu[box] += np.float32(strength * metal.unit) * streaks * ~where[box]


def _darken_between_bones(
    hu: FloatArray, tissue_zyx: NDArray[np.uint8], spacing_x_mm: float, band_hu: float
) -> None:
    """Beam hardening: the more bone on both sides of a voxel along x, the darker it is."""
    dense = np.zeros(len(Tissue), np.float32)
    dense[[Tissue.CORTEX, Tissue.MARROW, Tissue.FEMUR_MARROW]] = (1.0, 0.35, 0.35)
    one_side = np.cumsum(dense[tissue_zyx], axis=2)
    other_side = one_side[:, :, -1:] - one_side
    np.clip(other_side, 0, None, out=other_side)
    both = np.sqrt(one_side * other_side) * np.float32(spacing_x_mm / FULL_BAND_MM)
    hu -= np.float32(band_hu) * np.minimum(both, np.float32(1.3))


def _streaks_near(
    where: NDArray[np.bool_], spacing_zyx_mm: Triple, metal: Metal, rng: np.random.Generator
) -> tuple[FloatArray, tuple[NDArray[np.intp], slice, slice]]:
    """Streaks (slices, y, x) and their place: the slices with metal, within its reach."""
    slices = np.flatnonzero(where.any((1, 2)))
    rows, row_taper = _span(
        np.flatnonzero(where.any((0, 2))), where.shape[1], spacing_zyx_mm[1], metal.reach_mm
    )
    columns, column_taper = _span(
        np.flatnonzero(where.any((0, 1))), where.shape[2], spacing_zyx_mm[2], metal.reach_mm
    )
    part = where[slices, rows, columns]
    every = [max(1, int(metal.step_mm / step)) for step in spacing_zyx_mm[1:]]
    coarse = np.maximum.reduceat(part, np.arange(0, part.shape[1], every[0]), axis=1)
    coarse = np.maximum.reduceat(coarse, np.arange(0, part.shape[2], every[1]), axis=2)
    steps = spacing_zyx_mm[1] * every[0], spacing_zyx_mm[2] * every[1]
    streaks = metal_streaks(coarse, steps, metal.size_mm, rng)
    y, x = (_between(n, k) for n, k in zip(part.shape[1:], every, strict=True))
    fine = np.matmul(np.matmul(y, streaks), x.T) * row_taper[:, None] * column_taper
    return np.asarray(fine, dtype=np.float32), (slices, rows, columns)


def _span(found: NDArray[np.intp], length: int, step_mm: float, reach_mm: float) -> tuple[slice, FloatArray]:
    """The run of indices within reach of those found, and weights that fall to 0 at its ends."""
    index = np.arange(length)
    away = np.maximum(np.maximum(found[0] - index, index - found[-1]), 0) * step_mm
    near = np.flatnonzero(away < reach_mm)
    part = slice(int(near[0]), int(near[-1]) + 1)
    return part, np.clip(2 * (1 - away[part] / reach_mm), 0, 1).astype(np.float32)


def _between(points: int, every: int) -> FloatArray:
    """Weights (points, coarse points) of linear interpolation between means over `every` points."""
    coarse = -(-points // every)
    at = np.clip((np.arange(points) - (every - 1) / 2) / every, 0, coarse - 1)
    weights = np.clip(1 - np.abs(at[:, None] - np.arange(coarse)), 0, 1)
    return np.asarray(weights, dtype=np.float32)
