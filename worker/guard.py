"""Is this a CT of a pelvis? Refuses what cannot be one, and notes lesser doubts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.errors import NoPelvis, TooFewSlices
from worker.finding import Finding
from worker.series import MIN_SLICES, CTSeries

STEP_MM: Final = 4.0
AIR_HU: Final = -1000
BODY_HU: Final = -300
LUNG_HU: Final = -500
FAT_HU: Final = (-200, -30)
BONE_HU: Final = 180
METAL_HU: Final = 2500
PELVIS_WIDTH_MM: Final = 250.0
MIDLINE_MM: Final = 40.0
SIDE_BONE_MM2: Final = 300.0
PELVIS_HEIGHT_MM: Final = 45.0
MAX_LUNG: Final = 0.15
MIN_FAT: Final = 0.02
AIR_TOLERANCE_HU: Final = 100.0
SHIFTED_TISSUE_HU: Final = 700
SHORT_MM: Final = 160.0
THICK_MM: Final = 4.0  # the networks see slices every 3 mm
METAL_MM3: Final = 1000.0


@dataclass(frozen=True, kw_only=True)
class _Anatomy:
    """What each slice shows, from a coarse copy of the series; all arrays have one value per slice.

    Attributes:
        width_mm: longer side of the body's cross-section.
        side_bone_mm2: bone more than `MIDLINE_MM` from the body's middle, on the side that has less of it.
        lung: share of the body's cross-section that is air inside it.
        fat: share that is fat.
        cut_off: whether the body reaches the edge of the image.
    """

    width_mm: NDArray[np.float64]
    side_bone_mm2: NDArray[np.float64]
    lung: NDArray[np.float64]
    fat: NDArray[np.float64]
    cut_off: NDArray[np.bool_]


def check_series(series: CTSeries) -> tuple[Finding, ...]:
    """Findings about a series that may be contoured, beside those that reading made.

    Raises:
        TooFewSlices: fewer than 20 slices.
        NoPelvis: the image cannot show a pelvis.
    """
    if len(series.hu) < MIN_SLICES:
        raise TooFewSlices(f"The series has {len(series.hu)} slices; at least {MIN_SLICES} are needed.")
    stride = [max(1, int(STEP_MM / s)) for s in series.grid.spacing_mm[:2]]
    coarse = series.hu[:, :: stride[1], :: stride[0]]
    spacing = (series.grid.spacing_mm[1] * stride[1], series.grid.spacing_mm[0] * stride[0])
    if float(coarse.std()) < 1.0:
        raise NoPelvis("The image is uniform: every voxel has the same CT number.")
    offset = _air_offset(coarse)
    anatomy = _anatomy(coarse.astype(np.float32) - offset, spacing, series)
    _check_pelvis(anatomy, series.grid.spacing_mm[2])
    return tuple(_doubts(series, anatomy, offset))


def _air_offset(hu: NDArray[np.int16]) -> float:
    """How far the air around the body is from -1000 HU; zero if it is near, or if there is none.

    The clipped padding outside the scanner's circle is left aside. Where the image holds no air at all its
    lowest peak is fat; a shift then shows by tissue where only bone should be.
    """
    values = hu[hu > AIR_HU - 24]
    counts, edges = np.histogram(values, bins=np.arange(AIR_HU - 24, 3100, 20))
    common = np.flatnonzero(counts > 0.02 * max(len(values), 1))
    if not len(common):
        return 0.0
    offset = float(edges[common[0]] + 10 - AIR_HU)
    shifted = offset < 500 or float(np.mean(values > SHIFTED_TISSUE_HU)) > 0.15
    return offset if offset > AIR_TOLERANCE_HU and shifted else 0.0


def _anatomy(hu: NDArray[np.float32], spacing_mm: tuple[float, float], series: CTSeries) -> _Anatomy:
    """Measure every slice of the coarse copy (z, y, x); spacing is that of its rows, then columns."""
    lateral_is_columns = abs(series.grid.direction[0]) >= abs(series.grid.direction[1])
    rows = [_measure(slice_hu, spacing_mm, lateral_axis=int(lateral_is_columns)) for slice_hu in hu]
    width, bone, lung, fat, cut_off = (np.array(column) for column in zip(*rows, strict=True))
    return _Anatomy(width_mm=width, side_bone_mm2=bone, lung=lung, fat=fat, cut_off=cut_off.astype(bool))


def _measure(
    hu: NDArray[np.float32], spacing_mm: tuple[float, float], *, lateral_axis: int
) -> tuple[float, float, float, float, bool]:
    """The five numbers of `_Anatomy` for one slice (y, x)."""
    body = _body(hu)
    if not body.any():
        return 0.0, 0.0, 0.0, 0.0, False
    places = np.argwhere(body)
    extent = (np.ptp(places, axis=0) + 1) * np.asarray(spacing_mm)
    middle = float(places[:, lateral_axis].min() + places[:, lateral_axis].max()) / 2
    bone = np.argwhere(body & (hu > BONE_HU))[:, lateral_axis]
    off_middle = (bone - middle) * spacing_mm[lateral_axis]
    pixel_mm2 = spacing_mm[0] * spacing_mm[1]
    sides = [np.count_nonzero(off_middle < -MIDLINE_MM), np.count_nonzero(off_middle > MIDLINE_MM)]
    inside = hu[body]
    edge = np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]])
    return (
        float(extent.max()),
        min(sides) * pixel_mm2,
        float(np.mean(inside < LUNG_HU)),
        float(np.mean((inside > FAT_HU[0]) & (inside < FAT_HU[1]))),
        bool(np.count_nonzero(edge) * STEP_MM > 50),
    )


def _body(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest piece of tissue on a slice, holes filled, thin things such as the couch's top removed."""
    tissue = ndimage.binary_opening(hu > BODY_HU, structure=np.ones((3, 3)))
    labels, count = ndimage.label(tissue)
    if not count:
        return np.zeros(hu.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(labels == sizes.argmax()))


def _check_pelvis(anatomy: _Anatomy, step_mm: float) -> None:
    """A pelvis is a wide body with bone on both sides and fat, over several centimetres."""
    wide = anatomy.width_mm >= PELVIS_WIDTH_MM
    if not (anatomy.width_mm > 0).any():
        raise NoPelvis("No body was found in the CT, only air.")
    if wide.sum() * step_mm < PELVIS_HEIGHT_MM:
        typical = float(np.median(anatomy.width_mm[anatomy.width_mm > 0])) / 10
        raise NoPelvis(
            f"No pelvis was found in the CT: what it shows is only {typical:.0f} cm wide, as a head is."
        )
    without_lung = wide & (anatomy.lung < MAX_LUNG)
    if without_lung.sum() * step_mm < PELVIS_HEIGHT_MM:
        raise NoPelvis("No pelvis was found in the CT: what it shows is full of air, as a chest is.")
    bony = without_lung & (anatomy.side_bone_mm2 >= SIDE_BONE_MM2)
    if bony.sum() * step_mm < PELVIS_HEIGHT_MM:
        raise NoPelvis("No pelvis was found in the CT: there are no hip bones on both sides of the body.")
    if float(np.median(anatomy.fat[bony])) < MIN_FAT:
        raise NoPelvis("No pelvis was found in the CT: what it shows holds no fat, as a test object would.")


def _doubts(series: CTSeries, anatomy: _Anatomy, offset: float) -> Iterator[Finding]:
    step_mm = series.grid.spacing_mm[2]
    if offset:
        yield Finding(
            code="hu-offset",
            message=f"Air reads about {AIR_HU + offset:.0f} HU, not -1000: the CT numbers seem shifted.",
        )
    if len(series.hu) * step_mm < SHORT_MM:
        yield Finding(
            code="short-coverage",
            message=f"The series covers {len(series.hu) * step_mm / 10:.0f} cm: structures may be cut off.",
        )
    if step_mm > THICK_MM:
        yield Finding(
            code="thick-slices", message=f"The slices are {step_mm:.1f} mm apart: check the ends of organs."
        )
    if np.mean(anatomy.cut_off) > 0.2:
        yield Finding(code="body-cut-off", message="The body reaches beyond the image's edge.")
    metal_mm3 = np.count_nonzero(series.hu > METAL_HU) * series.grid.voxel_mm3
    if metal_mm3 > METAL_MM3:
        yield Finding(code="metal", message=f"There are {metal_mm3 / 1000:.0f} cc of metal: check streaks.")
    if str(series.headers[0].get("LossyImageCompression", "")) == "01":
        yield Finding(code="lossy", message="The images were once compressed with loss.")
