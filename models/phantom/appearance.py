"""Tissue to CT numbers: what a scanner makes of an anatomy, cheap enough to be drawn anew at every training step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom.ct_numbers import PerTissue, draw_ct_numbers, per_tissue
from models.phantom.effects import Effects
from models.phantom.inhomogeneity import Inhomogeneity, add_inhomogeneity
from models.phantom.lattice import FloatArray
from models.phantom.noise import NoiseLook, noise_field
from models.phantom.sampling import FieldOfView, average_slices, blur_in_plane
from models.phantom.streaks import StreakLook, add_streaks
from models.phantom.tissue import Tissue

EVERYTHING = Effects()
LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0
FATTY_MUSCLE_SHARE = 0.25

TissueMap = NDArray[np.uint8]
Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Everything about one scan that is not anatomy; None where an effect is left out or does not occur.

    Field of view and shading go with `Effects.streaks`: all of them are artefacts.
    """

    hu: PerTissue  # mean CT number of each tissue
    layered: Layer | None  # contrast that has sunk to the bladder's back
    inhomogeneity: Inhomogeneity | None
    psf_fwhm_mm: float  # full width at half maximum of the in-plane point spread
    slice_mm: float  # thickness of the slice profile, a box
    noise: NoiseLook | None
    streaks: StreakLook | None
    field_of_view: FieldOfView | None
    seed: int  # of streaks and shading, which are the scan's and not the drawing's

    @staticmethod
    def draw(
        rng: np.random.Generator, *, effects: Effects = EVERYTHING, slice_mm: float | None = None
    ) -> Appearance:
        """Draw one scan's look; with `slice_mm` its slices are that thick."""
        fatty = bool(rng.random() < FATTY_MUSCLE_SHARE)
        numbers = draw_ct_numbers(rng, effects=effects, fatty_muscle=fatty)
        sharpness = float(rng.beta(1.2, 1.5))  # of the reconstruction kernel
        drawn_slice = float(rng.choice((1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 5.0)))
        return Appearance(
            hu=per_tissue(numbers),
            layered=Layer.draw(rng) if numbers[Tissue.URINE] > 60 and rng.random() < 0.5 else None,
            inhomogeneity=Inhomogeneity.draw(rng, fatty_muscle=fatty) if effects.texture else None,
            psf_fwhm_mm=2.0 - 1.2 * sharpness,
            slice_mm=drawn_slice if slice_mm is None else slice_mm,
            noise=NoiseLook.draw(rng, sharpness=sharpness) if effects.noise else None,
            streaks=StreakLook.draw(rng) if effects.streaks else None,
            field_of_view=FieldOfView.draw(rng) if effects.streaks and rng.random() < 0.25 else None,
            seed=int(rng.integers(2**32)),
        )


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Contrast and urine that have not mixed: by height in the bladder, front 0 to back 1 (or turned over)."""

    height: float
    softness: float
    turned: bool
    least: float  # share of the contrast that is left in the upper part

    @staticmethod
    def draw(rng: np.random.Generator) -> Layer:
        """Draw a level, how sharp it is, and what is above it."""
        return Layer(
            height=rng.uniform(0.15, 0.85),
            softness=rng.uniform(0.01, 0.15),
            turned=bool(rng.random() < 0.1),
            least=rng.uniform(0, 0.4),
        )


def render(
    tissue_zyx: TissueMap, spacing_zyx_mm: Triple, appearance: Appearance, rng: np.random.Generator
) -> FloatArray:
    """The CT of a tissue map without noise, HU (z, y, x) float32; of a crop as of a whole map.

    CT numbers, texture, blur in the slice and averaging over its thickness, streaks, field of view. What depends
    on a whole slice (layered contrast, the band between bones, the field of view) is taken of the map given.

    Cost on one core, median over scans, with `add_noise`: 64 × 110 × 110 voxels of 3 × 1.5 × 1.5 mm about 0.09 s,
    70 × 180 × 290 about 0.35 s; a metal hip adds up to 0.2 s. Memory: some 30 bytes a voxel.
    """
    hu = np.asarray(appearance.hu, np.float32)[tissue_zyx]
    if appearance.layered is not None:
        _layer(hu, tissue_zyx, appearance.layered)
    if appearance.inhomogeneity is not None:
        add_inhomogeneity(hu, tissue_zyx, spacing_zyx_mm, look=appearance.inhomogeneity, rng=rng)
    hu = blur_in_plane(hu, spacing_zyx_mm[1:], appearance.psf_fwhm_mm)
    hu = average_slices(hu, spacing_zyx_mm[0], appearance.slice_mm)
    if appearance.streaks is not None:
        fixed = np.random.default_rng(appearance.seed)
        add_streaks(hu, tissue_zyx, spacing_zyx_mm, look=appearance.streaks, rng=fixed)
    if appearance.field_of_view is not None:
        appearance.field_of_view.cut(hu, spacing_zyx_mm[1:])
    return np.clip(hu, LOWEST_HU, HIGHEST_HU, out=hu)


def add_noise(
    hu: FloatArray, spacing_zyx_mm: Triple, appearance: Appearance, rng: np.random.Generator
) -> FloatArray:
    """The image with its noise, HU (z, y, x) float32 within [-1024, 3071]; none where the scan was padded."""
    if appearance.noise is None:
        return np.clip(hu, LOWEST_HU, HIGHEST_HU)
    noisy = noise_field(hu, spacing_zyx_mm, appearance.noise, rng)
    noisy[hu <= LOWEST_HU] = 0
    noisy += hu
    return np.clip(noisy, LOWEST_HU, HIGHEST_HU, out=noisy)


def _layer(hu: FloatArray, tissue_zyx: TissueMap, layer: Layer) -> None:
    urine = tissue_zyx == Tissue.URINE
    rows = np.flatnonzero(urine.any((0, 2)))
    if len(rows) < 2:
        return
    depth = np.clip((np.arange(hu.shape[1]) - rows[0]) / (rows[-1] - rows[0]), 0, 1)
    depth = 1 - depth if layer.turned else depth
    share = 1 / (1 + np.exp(-np.clip((depth - layer.height) / layer.softness, -30, 30)))
    share = (layer.least + (1 - layer.least) * share).astype(np.float32)
    part = slice(rows[0], rows[-1] + 1)
    hu[:, part] *= np.where(urine[:, part], share[None, part, None], np.float32(1))
