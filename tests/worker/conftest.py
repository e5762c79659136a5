"""Synthetic series, structures and results for the tests of the worker."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom import dcmread, dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    JPEGLossless,
    JPEGLosslessSV1,
)

from worker.bundle_card import BundleCard
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid
from worker.patient_study import ObjectIdentity
from worker.report.pdf import can_make_pdf
from worker.result import Result, StructureResult
from worker.rtstruct import write_rtstruct
from worker.series import CTSeries, read_series

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FRAME = "1.2.826.0.1.3680043.10.1234.1"
PATIENT = PatientIdentity(patient_id="PEN-0001", name="Quasimodo^Esmeralda")
SHARED = Path(__file__).parents[3] / "shared" / "data"


BUNDLE = BundleCard(name="phantom", version="0.1", sha256="ab" * 32, intended_use="research-phantom")


def grid_of(size_xyz, spacing_mm=(1.0, 1.0, 3.0), direction=AXIAL, origin_mm=None) -> Grid:
    """A grid; centred on the origin of the frame unless told otherwise."""
    if origin_mm is None:
        half = np.array([(n - 1) / 2 * s for n, s in zip(size_xyz, spacing_mm, strict=True)])
        origin_mm = tuple(float(v) for v in -(np.asarray(direction).reshape(3, 3) @ half))
    return Grid(
        size_xyz=tuple(size_xyz),
        spacing_mm=tuple(spacing_mm),
        origin_mm=origin_mm,
        direction=tuple(direction),
        frame_of_reference_uid=FRAME,
    )


def points_of(grid: Grid) -> np.ndarray:
    """Patient coordinates (z, y, x, 3) of all voxels."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in grid.shape_zyx], indexing="ij")
    return grid.to_patient(np.stack([x, y, z], axis=-1))


def sigmoid(distance_mm: np.ndarray, scale_mm: float = 1.0) -> np.ndarray:
    """A probability field from a signed distance, zero far away."""
    field = 1 / (1 + np.exp(np.clip(distance_mm / scale_mm, -30, 30)))
    return np.where(field < 0.002, 0, field).astype(np.float32)


def ball(grid: Grid, centre_mm, radius_mm, scale_mm=1.0) -> np.ndarray:
    """Probability field of a sphere."""
    return sigmoid(np.linalg.norm(points_of(grid) - np.asarray(centre_mm), axis=-1) - radius_mm, scale_mm)


def pelvis_hu(grid: Grid, *, noise: float = 10.0) -> np.ndarray:
    """A crude male pelvis: body with fat under the skin, iliac bones and femoral heads, sacrum."""
    p = points_of(grid)
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    depth = 1 - np.sqrt((x / 190) ** 2 + (y / 120) ** 2)
    hu = np.full(grid.shape_zyx, -1000.0)
    hu[depth > 0] = -100
    hu[depth > 0.15] = 40
    for side in (-1, 1):
        hu[np.linalg.norm(p - [side * 90, 0, -30], axis=-1) < 24] = 350
        wing = (np.abs(np.hypot(x - side * 60, y) - 45) < 8) & (side * x > 50) & (z > -20)
        hu[wing] = 500
    hu[(np.abs(x) < 30) & (np.abs(y - 80) < 15) & (z > 0)] = 300
    return hu + np.random.default_rng(0).normal(0, noise, hu.shape)


def head_hu(grid: Grid) -> np.ndarray:
    """A head in air: a skull's shell around a brain, 16 cm wide and 20 cm long."""
    p = points_of(grid) / [80, 100, 90]
    r = np.linalg.norm(p, axis=-1)
    hu = np.full(grid.shape_zyx, -1000.0)
    hu[r < 1] = 20
    hu[(r > 0.9) & (r < 0.97)] = 900
    hu[r < 0.9] = 35
    return hu + np.random.default_rng(0).normal(0, 10, hu.shape)


@pytest.fixture(scope="session")
def bare_series() -> Callable[[Grid], CTSeries]:
    """A series of a grid, without image and files, for what only needs to know where the slices lie."""

    def make(grid: Grid) -> CTSeries:
        z = np.arange(grid.size_xyz[2])
        return CTSeries(
            hu=np.zeros(grid.shape_zyx, np.int16),
            grid=grid,
            slice_positions_mm=grid.to_patient(np.stack([0 * z, 0 * z, z], axis=1)),
            headers=(),
            series_instance_uid="1.2.3",
            study_instance_uid="1.2.4",
            frame_of_reference_uid=grid.frame_of_reference_uid,
            sop_instance_uids=tuple(f"1.2.3.{n}" for n in z),
        )

    return make


@pytest.fixture
def make_ct(tmp_path: Path) -> Callable[..., Path]:
    """Write a CT; returns its folder."""

    def make(hu=None, grid=None, *, name="ct", seed="seed", patient=PATIENT, **overrides) -> Path:
        grid = grid or grid_of((24, 20, 22))
        hu = np.zeros(grid.shape_zyx, np.int16) if hu is None else hu
        write_ct_series(hu, grid, tmp_path / name, patient=patient, uid_seed=seed, **overrides)
        return tmp_path / name

    return make


@pytest.fixture
def make_series(make_ct: Callable[..., Path]) -> Callable[..., CTSeries]:
    """Write a CT and read it."""

    def make(*args, **kwargs) -> CTSeries:
        return read_series(make_ct(*args, **kwargs))

    return make


def structure(name: str, grid: Grid, centre_mm, radius_mm: float, *, validated=True) -> StructureResult:
    """A ball with bounds 2 mm either side of it."""
    mean = ball(grid, centre_mm, radius_mm)
    return StructureResult(
        name=name,
        mean=mean,
        lower=np.minimum(ball(grid, centre_mm, radius_mm - 2), mean),
        upper=np.maximum(ball(grid, centre_mm, radius_mm + 2), mean),
        level=0.5,
        quality=0.931,
        quality_validated=validated,
    )


def result_of(series: CTSeries, *, bundle: BundleCard = BUNDLE, structures=None) -> Result:
    """Six structures, the CTV's quality not validated."""
    grid = series.grid
    if structures is None:
        structures = (
            structure("CTV", grid, (0, 0, 0), 15, validated=False),
            structure("Bladder", grid, (0, -15, 10), 14),
            structure("Rectum", grid, (0, 20, 0), 10),
            structure("Femur_Head_L", grid, (28, 0, 0), 9),
            structure("Femur_Head_R", grid, (-28, 0, 0), 9),
            structure("PenileBulb", grid, (0, 5, -15), 6),
        )
    return Result(
        series=series,
        structures=structures,
        bundle=bundle,
        passes=50,
        seed=0,
        device="cpu",
    )


DCMCJPEG = {JPEGLossless: ["+el"], JPEGLosslessSV1: ["+e1"]}


def encode(path, syntax):
    """Rewrite one instance in another transfer syntax without loss; its UIDs stay."""
    dataset = dcmread(path)
    uid, series = dataset.SOPInstanceUID, dataset.SeriesInstanceUID
    if syntax in DCMCJPEG:
        if shutil.which("dcmcjpeg") is None:
            pytest.skip("dcmcjpeg (DCMTK) is not installed")
        target = path.with_suffix(".jpg")
        subprocess.run(["dcmcjpeg", *DCMCJPEG[syntax], "+un", path, target], check=True)
        target.replace(path)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=True)
    elif syntax == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
    else:
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)
    after = dcmread(path, stop_before_pixels=True)
    assert after.file_meta.TransferSyntaxUID == syntax
    assert (after.SOPInstanceUID, after.SeriesInstanceUID) == (uid, series)


def as_frames(folder, sop_class=EnhancedCTImageStorage) -> Path:
    """Put the slices of a folder into one multi-frame instance, each frame in functional groups of its own."""
    slices = sorted(p for p in folder.iterdir() if p.is_file())
    instance = LegacyConvertedEnhancedCTImage(
        legacy_datasets=[dcmread(path) for path in slices],
        series_instance_uid="2.25.771",
        series_number=2,
        sop_instance_uid="2.25.772",
        instance_number=1,
    )
    instance.SOPClassUID = instance.file_meta.MediaStorageSOPClassUID = sop_class
    for path in slices:
        path.unlink()
    instance.save_as(folder / "frames.dcm")
    return folder / "frames.dcm"


@pytest.fixture(scope="session")
def draw() -> SimpleNamespace:
    """The drawing functions above, for tests cannot import a conftest."""
    return SimpleNamespace(
        grid=grid_of,
        points=points_of,
        sigmoid=sigmoid,
        ball=ball,
        pelvis=pelvis_hu,
        head=head_hu,
        encode=encode,
        as_frames=as_frames,
        structure=structure,
        result=result_of,
        bundle=BUNDLE,
        identity=IDENTITY,
        patient=PATIENT,
    )


IDENTITY = ObjectIdentity(seed="job-1", created=datetime(2026, 11, 24, 12, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def result_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `result` has its CT (`ct/`) and its RTSTRUCT (`rtstruct.dcm`)."""
    return tmp_path_factory.mktemp("result")


@pytest.fixture(scope="session")
def result(result_folder: Path) -> Result:
    """A small result on a series that was really written and read. Shared: do not change it."""
    grid = grid_of((88, 80, 24), (1.0, 1.1, 2.5))
    hu = np.zeros(grid.shape_zyx, np.int16)
    write_ct_series(hu, grid, result_folder / "ct", patient=PATIENT, uid_seed="result")
    return result_of(read_series(result_folder / "ct"))


@pytest.fixture(scope="session")
def written(result: Result, result_folder: Path) -> Path:
    """The RTSTRUCT of `result`. Shared: do not change it."""
    path = result_folder / "rtstruct.dcm"
    write_rtstruct(result, path, identity=IDENTITY)
    return path


@pytest.fixture(scope="session")
def pango() -> None:
    """What makes PDFs is there, or the test is skipped."""
    if not can_make_pdf():
        if os.environ.get("PENUMBRA_ALL_TOOLS"):
            pytest.fail("Pango is not installed")
        pytest.skip("Pango is not installed")


@pytest.fixture
def shared_data() -> Path:
    """Real files of others, where they are at hand."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not at hand ({SHARED})")
    return SHARED
