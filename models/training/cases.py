"""Prepared cases on disk: the format between a cohort (phantoms, or a clinic's own) and training."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.phantom.cohort import draw_patient
from models.phantom.lattice import Lattice
from models.structures import STRUCTURES

CASE_SPACING_ZYX_MM = (3.0, 1.5, 1.5)
CASE_WIDTH_MM, CASE_DEPTH_MM = 432.0, 300.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One CT with its truth.

    Attributes:
        hu: CT numbers, (z, y, x) int16.
        labels: one bit per structure, in the order of `STRUCTURES`, (z, y, x) uint8.
        spacing_zyx_mm: distance of voxel centres.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]

    def mask(self, structure: str) -> NDArray[np.bool_]:
        """The truth of one structure, (z, y, x)."""
        bit = [s.name for s in STRUCTURES].index(structure)
        return (self.labels >> bit & 1).astype(bool)


def save_case(case: Case, path: Path) -> None:
    """Write a case so that it is either whole or not there."""
    partial = path.with_suffix(".part.npz")
    np.savez(partial, hu=case.hu, labels=case.labels, spacing_zyx_mm=case.spacing_zyx_mm)
    partial.replace(path)


def load_case(path: Path) -> Case:
    """Read a case; arrays only, nothing is unpickled."""
    with np.load(path, allow_pickle=False) as stored:
        spacing = tuple(float(v) for v in stored["spacing_zyx_mm"])
        return Case(
            hu=stored["hu"], labels=stored["labels"], spacing_zyx_mm=(spacing[0], spacing[1], spacing[2])
        )


def draw_case(seed: int, index: int) -> Case:
    """A phantom patient as a training case: whole body width at 1.5 × 1.5 × 3 mm."""
    patient = draw_patient(seed, index)
    rng = np.random.default_rng([seed, index, 8])
    low = patient.anatomy.bulb_centre[2] - rng.uniform(25, 65)
    dome = patient.anatomy.bladder_centre[2] + patient.anatomy.bladder_radii[2]
    high = max(dome + rng.uniform(8, 50), patient.anatomy.rectum_high + rng.uniform(15, 30))
    dz, dy, dx = CASE_SPACING_ZYX_MM
    lattice = Lattice(
        shape_zyx=(int((high - low) / dz), int(CASE_DEPTH_MM / dy), int(CASE_WIDTH_MM / dx)),
        spacing_zyx_mm=CASE_SPACING_ZYX_MM,
        origin_zyx_mm=(low, patient.anatomy.body_centre_y - CASE_DEPTH_MM / 2, -CASE_WIDTH_MM / 2),
    )
    truth = patient.truth(lattice)
    labels = np.zeros(lattice.shape_zyx, np.uint8)
    for bit, structure in enumerate(STRUCTURES):
        labels |= (truth[structure.name] < 0).astype(np.uint8) << bit
    return Case(hu=patient.hu(lattice), labels=labels, spacing_zyx_mm=CASE_SPACING_ZYX_MM)


def draw_cases(folder: Path, *, seed: int, count: int, workers: int = 2) -> Iterator[Path]:
    """Draw the missing ones of `count` phantom cases into a folder; yields each path as it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [case_path(folder, seed, index) for index in range(count)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    yield from (path for path in paths if path.exists())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = [pool.submit(_draw_and_save, folder, seed, index) for index in missing]
        for case in as_completed(drawn):
            yield case.result()


def case_path(folder: Path, seed: int, index: int) -> Path:
    """Where case `index` of a seed is kept."""
    return folder / f"phantom-{seed}-{index:04d}.npz"


def _draw_and_save(folder: Path, seed: int, index: int) -> Path:
    path = case_path(folder, seed, index)
    save_case(draw_case(seed, index), path)
    return path
