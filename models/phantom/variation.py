"""Smooth randomness: what makes each phantom an individual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantom.lattice import FloatArray, Lattice, Points


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves: a smooth random scalar field over the whole space, in mm.

    Analytic, so that every lattice sees the same field. Root mean square over space = `rms_mm`.
    """

    wave_vectors: NDArray[np.float64]  # (waves, 3) in rad/mm, x y z
    phases: NDArray[np.float64]
    rms_mm: float

    @staticmethod
    def draw(
        rng: np.random.Generator, *, rms_mm: float, wavelengths_mm: tuple[float, float], waves: int = 6
    ) -> Waves:
        """Waves of random direction, with wavelengths between the two given."""
        direction = rng.normal(size=(waves, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        number = 2 * np.pi / rng.uniform(*wavelengths_mm, size=(waves, 1))
        return Waves(direction * number, rng.uniform(0, 2 * np.pi, waves), rms_mm)

    def at(self, p: Points) -> FloatArray:
        """The field at points given by their *axes* (x along the last axis, and so on), in mm."""
        total = np.float32(0)
        for (kx, ky, kz), phase in zip(self.wave_vectors, self.phases, strict=True):
            # sin(a + b + c) from products of one-dimensional factors: three small arrays, no big sines.
            in_plane = np.exp(1j * (ky * p.y + phase)) * np.exp(1j * kx * p.x)
            along_z = np.exp(1j * kz * p.z)
            total = total + (
                in_plane.imag.astype(np.float32) * along_z.real.astype(np.float32)
                + in_plane.real.astype(np.float32) * along_z.imag.astype(np.float32)
            )
        return np.asarray(total * np.float32(self.rms_mm * np.sqrt(2 / len(self.phases))), dtype=np.float32)

    def anywhere(self, p: Points) -> FloatArray:
        """The field at points that follow no axes, (z, y, x) mm; slower than `at`."""
        total = np.zeros(p.shape, np.float32)
        for (kx, ky, kz), phase in zip(self.wave_vectors.astype(np.float32), self.phases, strict=True):
            total += np.sin(kx * p.x + ky * p.y + kz * p.z + np.float32(phase))
        return total * np.float32(self.rms_mm * np.sqrt(2 / len(self.phases)))


@dataclass(frozen=True)
class Warp:
    """A smooth displacement of space, one set of waves per direction."""

    x: Waves
    y: Waves
    z: Waves

    @staticmethod
    def draw(rng: np.random.Generator, *, rms_mm: float) -> Warp:
        """Displacements of `rms_mm` with wavelengths of an organ's size and above."""
        one, two, three = (Waves.draw(rng, rms_mm=rms_mm, wavelengths_mm=(70, 220)) for _ in range(3))
        return Warp(one, two, three)

    def points(self, lattice: Lattice) -> Points:
        """The lattice's points after displacement, in mm, each (z, y, x)."""
        p = lattice.points()
        return Points(p.x + self.x.at(p), p.y + self.y.at(p), p.z + self.z.at(p))
