"""Prepared cases on disk: the format between a cohort (phantoms, or a clinic's own) and training."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.phantom.atlas import SHIPPED
from models.phantom.cohort import EVERYTHING, MAP_SPACING_ZYX_MM, draw_patient, map_lattice
from models.phantom.effects import Effects
from models.phantom.lattice import Lattice
from models.structures import STRUCTURES
from models.whole_file import save_arrays

Box = tuple[slice, slice, slice]
CASE_SPACING_ZYX_MM = (3.0, 1.5, 1.5)  # of a prepared CT; phantoms bring their own


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient with the truth: a real CT (`hu`), or a phantom's tissues, whose CT numbers are drawn at each use.

    Axes along the patient's: (z, y, x), x to the left, y to the back, z to the head.

    Attributes:
        labels: one bit per structure, in the order of `STRUCTURES`, (z, y, x) uint8.
        spacing_zyx_mm: distance of voxel centres.
        hu: CT numbers, (z, y, x) int16.
        tissue: codes of `models.phantom.tissue.Tissue`, (z, y, x) uint8.
    """

    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    hu: NDArray[np.int16] | None = None
    tissue: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if (self.hu is None) == (self.tissue is None):
            raise ValueError("a case has either CT numbers or tissues")

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.labels.shape
        return z, y, x

    def mask(self, structure: str, box: Box = (slice(None),) * 3) -> NDArray[np.bool_]:
        """The truth of one structure, (z, y, x), in the whole case or a part of it."""
        bit = [s.name for s in STRUCTURES].index(structure)
        found: NDArray[np.bool_] = (self.labels[box] & np.uint8(1 << bit)) != 0
        return found

    def centre_of(self, structure: str) -> NDArray[np.float64]:
        """Mean index (z, y, x) of a structure's voxels; NaN where it is not there."""
        found = np.unravel_index(np.flatnonzero(self.mask(structure)), self.shape_zyx)
        return np.array([axis.mean() if len(axis) else np.nan for axis in found])


def corner_of(box: Box) -> tuple[int, int, int]:
    """Index z, y, x in the case at which a part of it begins."""
    z, y, x = box
    return z.start, y.start, x.start


def save_case(case: Case, path: Path) -> None:
    """Write a case so that it is either whole or not there."""
    voxels = {"tissue": case.tissue} if case.hu is None else {"hu": case.hu}
    save_arrays(path, **voxels, labels=case.labels, spacing_zyx_mm=case.spacing_zyx_mm)


def load_case(path: Path) -> Case:
    """Read a case; arrays only, nothing is unpickled."""
    with np.load(path, allow_pickle=False) as stored:
        spacing = tuple(float(v) for v in stored["spacing_zyx_mm"])
        return Case(
            hu=stored["hu"] if "hu" in stored else None,
            tissue=stored["tissue"] if "tissue" in stored else None,
            labels=stored["labels"],
            spacing_zyx_mm=(spacing[0], spacing[1], spacing[2]),
        )


def draw_case(
    seed: int,
    index: int,
    *,
    effects: Effects = EVERYTHING,
    atlas: Path = SHIPPED,
    spacing_zyx_mm: tuple[float, float, float] = MAP_SPACING_ZYX_MM,
) -> Case:
    """A phantom patient as a training case; cost falls with the voxels, 9 s as it is and 1 s at 4 x 3 x 3 mm."""
    patient = draw_patient(seed, index, effects=effects, atlas=atlas)
    lattice = spaced(map_lattice(patient, seed, index), spacing_zyx_mm)
    truth = patient.truth(lattice)
    labels = np.zeros(lattice.shape_zyx, np.uint8)
    for bit, structure in enumerate(STRUCTURES):
        labels |= (truth[structure.name] < 0).astype(np.uint8) << bit
    return Case(tissue=patient.tissue(lattice), labels=labels, spacing_zyx_mm=lattice.spacing_zyx_mm)


def spaced(lattice: Lattice, spacing_zyx_mm: tuple[float, float, float]) -> Lattice:
    """A lattice with the same first point over the same extent, its points this far apart."""
    z, y, x = (int(lattice.extent_mm(axis) / step + 1e-6) + 1 for axis, step in enumerate(spacing_zyx_mm))
    return replace(lattice, shape_zyx=(z, y, x), spacing_zyx_mm=spacing_zyx_mm)


def draw_cases(
    folder: Path,
    *,
    seed: int,
    count: int,
    workers: int = 2,
    atlas: Path = SHIPPED,
    effects: Effects = EVERYTHING,
) -> Iterator[Path]:
    """Draw the missing ones of `count` phantom cases into a folder; yields each path as it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [case_path(folder, seed, index) for index in range(count)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    yield from (path for path in paths if path.exists())
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = [pool.submit(_draw_and_save, folder, seed, index, (effects, atlas)) for index in missing]
        for case in as_completed(drawn):
            yield case.result()


def case_path(folder: Path, seed: int, index: int) -> Path:
    """Where case `index` of a seed is kept."""
    return folder / f"phantom-{seed}-{index:04d}.npz"


def _draw_and_save(folder: Path, seed: int, index: int, how: tuple[Effects, Path]) -> Path:
    torch.set_num_threads(1)
    path = case_path(folder, seed, index)
    save_case(draw_case(seed, index, effects=how[0], atlas=how[1]), path)
    return path
