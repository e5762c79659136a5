"""What calibration needs to know of one case: how far its true surfaces lie from what the passes say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.bounds import paper_bounds
from models.evaluation.band_coverage import faces
from models.evaluation.metrics import dice
from models.monte_carlo import Samples, Sampling
from models.signed_distance import CLIP_MM
from models.whole_file import save_arrays
from worker.bundle_info import open_bundle
from worker.case_pool import CT, TRUTH, silent
from worker.errors import PenumbraError
from worker.evaluation.case_scoring import truth_name
from worker.evaluation.written import WrittenContours, box_around
from worker.grid import Grid
from worker.pipeline import segment
from worker.plausibility import check_result
from worker.result import StructureResult
from worker.series import read_even_series
from worker.settings import WorkerSettings

POINTS = 4000  # of a reference surface; each stands for the same area
KEY = "key"

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """With what a case is measured; a stored measurement holds for one of these only.

    Attributes:
        bundle: its name.
        weights: SHA-256 of each network's weights.
        passes: how many.
        seed: of the passes.
    """

    bundle: str
    weights: Mapping[str, str]
    passes: int
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One structure of one case.

    Attributes:
        ratios: |μ|/max(s, s₀) at points of the reference surface, infinite where the passes say nothing.
        scale_mm: mean of max(s, s₀) over them, s₀ half the in-plane voxel of the volume of interest.
        s0_mm: s₀.
        paper_outside: share of the points outside the paper's band.
        quality: of the contour.
        dsc: of the mean contour on the CT's grid.
    """

    ratios: FloatArray
    scale_mm: float
    s0_mm: float
    paper_outside: float
    quality: float
    dsc: float


@dataclass(frozen=True, kw_only=True)
class MeasuredCase:
    """One case: its structures by name, None where it got no contours; and the SHA-256 of its files."""

    structures: Mapping[str, Measured] | None
    sha256: str


def measure_case(how: Passes, keep_in: Path, case: Path) -> MeasuredCase:
    """Measure a case folder (`ct/`, `truth.dcm`), or read what was measured earlier from `keep_in`."""
    file = keep_in / f"{case.name}.npz"
    sha256 = digest_of(case)
    key = json.dumps({**asdict(how), "case": sha256}, sort_keys=True)
    stored = _stored(file, key)
    if stored is None:
        stored = MeasuredCase(structures=_measured(how, case), sha256=sha256)
        _keep(stored, file, key)
    return stored


def digest_of(case: Path) -> str:
    """SHA-256 over the bytes of a case's files, in the order of their names."""
    whole = hashlib.sha256()
    for path in [*sorted((case / CT).rglob("*")), case / TRUTH]:
        if path.is_file():
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _measured(how: Passes, case: Path) -> dict[str, Measured] | None:
    passes: dict[str, tuple[Samples, Grid]] = {}
    settings = WorkerSettings()
    bundle = open_bundle(how.bundle, bundles_dir=settings.bundles_dir, device=settings.device)
    try:
        series = read_even_series(case / CT)
        result = segment(
            series,
            bundle,
            sampling=Sampling(passes=how.passes, seed=how.seed),
            progress=silent,
            bounds="paper",
            on_samples=lambda name, samples, voi: passes.update({name: (samples, voi)}),
        )
        check_result(result)
    except PenumbraError:  # no contours, as in a job: what calibration says holds for cases that get some
        return None
    truth = _Truth(series.grid, WrittenContours.read(case / TRUTH, series))
    return {
        s.name: _structure(s, truth, *passes[s.name])
        for s in result.structures
        if truth.written.has(truth_name(s.name))
    }


@dataclass(frozen=True)
class _Truth:
    """The true contours and the CT's grid that they are on."""

    grid: Grid
    written: WrittenContours

    def mask(self, name: str) -> NDArray[np.bool_]:
        """One ROI on the whole grid, (z, y, x)."""
        z, y, x = self.grid.shape_zyx
        return self.written.on((slice(0, z), slice(0, y), slice(0, x)), name)


def _structure(found: StructureResult, truth: _Truth, samples: Samples, voi: Grid) -> Measured:
    if samples.distance is None:
        raise ValueError("calibration needs the passes' distances")
    name = truth_name(found.name)
    index = voi.to_index(surface_points(truth.written, name, truth.grid))[:, ::-1]  # z, y, x
    s0 = min(voi.spacing_mm[:2]) / 2
    mu, deviation = (_at(f, index) for f in (samples.distance.mean_mm, samples.distance.std_mm))
    scale = np.maximum(deviation, s0)
    inside = _inside(index, voi)
    known = inside & (np.abs(mu) < CLIP_MM)
    lower, upper = (_at(field, index) for field in paper_bounds(samples.mean, samples.variance))
    within = inside & (lower < found.level) & (upper >= found.level)
    return Measured(
        ratios=np.where(known, np.abs(mu) / scale, np.inf).astype(np.float32),
        scale_mm=float(scale[known].mean()) if known.any() else s0,
        s0_mm=s0,
        paper_outside=float(1 - within.mean()),
        quality=found.quality,
        dsc=dice(found.mean >= found.level, truth.mask(name)),
    )


def surface_points(truth: WrittenContours, name: str, grid: Grid) -> NDArray[np.float64]:
    """`POINTS` points of an ROI's surface in LPS mm, (n, 3): faces of its voxels, drawn evenly by area."""
    box = box_around([(truth, name)])
    surface = faces(truth.on(box, name), grid.spacing_mm[::-1])
    area = np.cumsum(surface.area_mm2)
    chosen = np.searchsorted(area, (np.arange(POINTS) + 0.5) / POINTS * area[-1])
    corner = np.array([part.start for part in box])
    index = surface.centre_mm[chosen] / grid.spacing_mm[::-1] + corner
    return grid.to_patient(index[:, ::-1])


def _inside(index_zyx: NDArray[np.float64], voi: Grid) -> NDArray[np.bool_]:
    """Which points lie within a volume of interest, by their index in it."""
    return np.asarray(((index_zyx >= 0) & (index_zyx <= np.array(voi.shape_zyx) - 1)).all(1))


def _at(field: FloatArray, index_zyx: NDArray[np.float64]) -> FloatArray:
    """A field at points, linear; beyond its edge as at the edge."""
    return np.asarray(ndimage.map_coordinates(field, index_zyx.T, order=1, mode="nearest"))


def _keep(case: MeasuredCase, file: Path, key: str) -> None:
    """Write a measurement; numbers and text only."""
    numbers = {
        name: {k: v for k, v in asdict(one).items() if k != "ratios"}
        for name, one in (case.structures or {}).items()
    }
    about = {KEY: key, "sha256": case.sha256, "contoured": case.structures is not None, "structures": numbers}
    ratios = {name: one.ratios for name, one in (case.structures or {}).items()}
    save_arrays(file, about=json.dumps(about), **ratios)


def _stored(file: Path, key: str) -> MeasuredCase | None:
    """An earlier measurement with the same key."""
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        if about[KEY] != key:
            return None
        structures = {
            name: Measured(ratios=stored[name], **numbers) for name, numbers in about["structures"].items()
        }
    return MeasuredCase(structures=structures if about["contoured"] else None, sha256=about["sha256"])
