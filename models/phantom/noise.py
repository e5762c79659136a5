"""Image noise as a reconstruction leaves it: coloured in the slice, uneven over the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from models.phantom.lattice import FloatArray

BODY_HU = -500.0
SD_HU = (4.0, 35.0)
STREAK_MM = 60.0  # how long streaks of starved rays are
STREAK_PERIOD_MM = 7.0  # and how far apart, at least


@dataclass(frozen=True, kw_only=True)
class NoiseLook:
    """Noise of one scan."""

    sd_hu: float  # mean over the body
    period_mm: float  # of the strongest ripple: the inverse of the frequency at which the power peaks
    unevenness: float  # 0: the same everywhere; 1: e times more where rays are longest
    between_slices: float  # what a slice shares with the next, as an amplitude, 0 to 1
    starvation: float  # horizontal streaks where rays are longest, as a share of sd_hu

    @staticmethod
    def draw(rng: np.random.Generator, *, sharpness: float) -> NoiseLook:
        """Draw dose and kernel; a sharp kernel (`sharpness` 1, soft: 0) has finer and, mostly, more noise."""
        coarse, fine = np.log(10), np.log(3.5)
        more = 0.7 + 0.6 * sharpness
        return NoiseLook(
            sd_hu=float(np.clip(more * np.exp(rng.uniform(np.log(4), np.log(35))), *SD_HU)),
            period_mm=float(np.exp(coarse + (fine - coarse) * sharpness + rng.normal(0, 0.15))),
            unevenness=rng.uniform(0.2, 1.0),
            between_slices=rng.uniform(0, 0.5),
            starvation=rng.uniform(0.3, 1.2) if rng.random() < 0.2 else 0.0,
        )


def noise_field(
    hu: FloatArray,
    spacing_zyx_mm: tuple[float, float, float],
    look: NoiseLook,
    rng: np.random.Generator,
) -> FloatArray:
    """Noise to be added to an image, HU (z, y, x)."""
    noise, streaky = coloured_noise(rng, hu.shape, spacing_zyx_mm[1:], look)
    along, across = _path_lengths(hu)
    uneven = np.float32(look.unevenness)
    sd = np.exp(uneven * along) + np.exp(uneven * across)
    body = hu > BODY_HU
    sd *= np.float32(look.sd_hu / (float(sd[body].mean()) if body.any() else 2.0))
    noise *= sd
    if streaky is not None:
        starved = along**8 * np.float32(look.starvation)  # the power stands for the exponential of a path
        noise += streaky * sd * starved
    if look.between_slices > 0 and len(noise) > 1:
        c = np.float32(look.between_slices)
        noise[:-1] = (noise[:-1] + c * noise[1:]) / np.sqrt(1 + c * c)
    return noise


def _path_lengths(hu: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How much each pixel's ray along x, and along y, goes through, as a share of the most there is, (z, y, x)."""
    water = np.clip(hu * np.float32(1e-3) + np.float32(1), 0, 2)
    along, across = water.sum(2, keepdims=True), water.sum(1, keepdims=True)
    most = max(float(along.max()), float(across.max()), 1e-3)
    return along / np.float32(most), across / np.float32(most)


def coloured_noise(
    rng: np.random.Generator,
    shape_zyx: tuple[int, ...],
    spacing_yx_mm: tuple[float, float],
    look: NoiseLook,
) -> tuple[FloatArray, FloatArray | None]:
    """Noise of unit deviation, and streaks along x where the look has some, each (z, y, x).

    Power rises with frequency as filtered back-projection's ramp has it, peaks at 1 / `period_mm` and rolls off
    (Riederer, Pelc and Chesler 1978; Solomon and Samei 2012).
    """
    size = [fft.next_fast_len(n + 8, real=True) for n in shape_zyx[1:]]
    spectrum = fft.rfft2(rng.standard_normal((shape_zyx[0], *size), dtype=np.float32))
    fy = fft.fftfreq(size[0], spacing_yx_mm[0])[:, None]
    fx = fft.rfftfreq(size[1], spacing_yx_mm[1])[None]
    inside = slice(None), slice(0, shape_zyx[1]), slice(0, shape_zyx[2])
    noise = _filtered(spectrum, power(np.hypot(fy, fx), look.period_mm), size)[inside]
    if look.starvation == 0:
        return noise, None
    along_x = power(np.abs(fy), max(look.period_mm, STREAK_PERIOD_MM)) * np.exp(-((fx * STREAK_MM) ** 2))
    return noise, _filtered(spectrum, along_x, size)[inside]


def power(frequency: np.ndarray, period_mm: float) -> np.ndarray:
    """Noise power at frequencies (1/mm), arbitrary unit: a ramp, a roll-off, a little at zero."""
    relative = frequency * period_mm
    return (relative + 0.08) * np.exp(-(relative**2) / 2)


def _filtered(spectrum: np.ndarray, wanted: np.ndarray, size: list[int]) -> FloatArray:
    """Fields with this power spectrum, scaled to unit deviation."""
    half = wanted.shape[1]
    twice = np.full(half, 2.0)  # columns that stand for two frequencies
    twice[0] = 1
    if size[1] % 2 == 0:
        twice[-1] = 1
    mean_power = (wanted * twice).sum() / (size[0] * size[1])
    gain = np.sqrt(wanted / mean_power).astype(np.float32)
    return np.asarray(fft.irfft2(spectrum * gain, s=tuple(size)), dtype=np.float32)
