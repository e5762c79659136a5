"""Is this a CT of a pelvis? Refuses what cannot be one, and notes lesser doubts."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.body_measures import STEP_MM, BodyMeasures, measure_body
from worker.errors import NoPelvis, ShiftedCTNumbers, TooFewSlices
from worker.finding import Finding
from worker.series import MIN_SLICES, CTSeries

AIR_HU: Final = -1000
METAL_HU: Final = 2500
PELVIS_WIDTH_MM: Final = 250.0
SIDE_BONE_MM2: Final = 300.0
PELVIS_HEIGHT_MM: Final = 45.0
MAX_LUNG: Final = 0.15
MIN_FAT: Final = 0.02
AIR_TOLERANCE_HU: Final = 100.0
REFUSED_SHIFT_HU: Final = 500.0  # the networks would take fat for bone
USUAL_FAT_HU: Final = (-140.0, -65.0)  # from 80 kV to 140 kV
COARSE_MM: Final = 1.6  # planning CTs have pixels of 0.8 to 1.3 mm
MIDLINE_FRONT_MM: Final = -8.0
ENOUGH_MIDLINE_MM3: Final = 20_000.0
SHIFTED_TISSUE_HU: Final = 700
SHORT_MM: Final = 160.0
THICK_MM: Final = 4.0  # the networks see slices every 3 mm
METAL_MM3: Final = 1000.0


def check_series(series: CTSeries) -> tuple[Finding, ...]:
    """Findings about a series that may be contoured, beside those that reading made.

    Raises:
        TooFewSlices: fewer than 20 slices.
        NoPelvis: the image cannot show a pelvis.
        ShiftedCTNumbers: it does, but air is far from -1000 HU.
    """
    if len(series.hu) < MIN_SLICES:
        raise TooFewSlices(f"The series has {len(series.hu)} slices; at least {MIN_SLICES} are needed.")
    stride = [max(1, int(STEP_MM / s)) for s in series.grid.spacing_mm[:2]]
    coarse = series.hu[:, :: stride[1], :: stride[0]]
    if float(coarse.std()) < 1.0:
        raise NoPelvis("The image is uniform: every voxel has the same CT number.")
    offset = _air_offset(coarse)
    body = measure_body(coarse.astype(np.float32) - offset, (stride[1], stride[0]), series.grid)
    _check_pelvis(body, series.grid.spacing_mm[2])
    if offset > REFUSED_SHIFT_HU:
        raise ShiftedCTNumbers(
            f"Air reads about {AIR_HU + offset:.0f} HU, not -1000: all CT numbers of the series are shifted."
        )
    return (*_doubts(series, body), *_doubts_of_ct_numbers(series, body, offset))


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


def _check_pelvis(body: BodyMeasures, step_mm: float) -> None:
    """A pelvis is a wide body with bone on both sides and fat, over several centimetres."""
    wide = body.width_mm >= PELVIS_WIDTH_MM
    if not (body.width_mm > 0).any():
        raise NoPelvis("No body was found in the CT, only air.")
    if wide.sum() * step_mm < PELVIS_HEIGHT_MM:
        typical = float(np.median(body.width_mm[body.width_mm > 0])) / 10
        raise NoPelvis(
            f"No pelvis was found in the CT: what it shows is only {typical:.0f} cm wide, as a head is."
        )
    without_lung = wide & (body.lung < MAX_LUNG)
    if without_lung.sum() * step_mm < PELVIS_HEIGHT_MM:
        raise NoPelvis("No pelvis was found in the CT: what it shows is full of air, as a chest is.")
    bony = without_lung & (body.side_bone_mm2 >= SIDE_BONE_MM2)
    if bony.sum() * step_mm < PELVIS_HEIGHT_MM:
        raise NoPelvis("No pelvis was found in the CT: there are no hip bones on both sides of the body.")
    if float(np.median(body.fat[bony])) < MIN_FAT:
        raise NoPelvis("No pelvis was found in the CT: what it shows holds no fat, as a test object would.")


def _doubts(series: CTSeries, body: BodyMeasures) -> Iterator[Finding]:
    """Of geometry and coverage."""
    step_mm = series.grid.spacing_mm[2]
    if len(series.hu) * step_mm < SHORT_MM:
        yield Finding(
            code="short-coverage",
            message=f"The series covers {len(series.hu) * step_mm / 10:.0f} cm: structures may be cut off.",
        )
    if step_mm > THICK_MM:
        yield Finding(
            code="thick-slices", message=f"The slices are {step_mm:.1f} mm apart: check the ends of organs."
        )
    if max(series.grid.spacing_mm[:2]) > COARSE_MM:
        yield Finding(
            code="coarse-pixels",
            message=f"The pixels are {max(series.grid.spacing_mm[:2]):.1f} mm wide; planning CTs have finer ones.",
        )
    if np.mean(body.cut_off) > 0.2:
        yield Finding(code="body-cut-off", message="The body reaches beyond the image's edge.")
    if _midline_bone_in_front(body, step_mm):
        yield Finding(
            code="orientation-doubt",
            message="Sacrum and spine seem to lie at the front of the body: the image may be mirrored or turned, "
            "whatever its orientation says. Compare left and right before use.",
        )


def _midline_bone_in_front(body: BodyMeasures, step_mm: float) -> bool:
    """Whether bone in the midline lies in front of the body's middle.

    Behind it are sacrum, coccyx and spine, before it only the symphysis: in four real pelves 14 to 55 mm behind.
    """
    total = float(body.midline_bone_mm2.sum())
    if total * step_mm < ENOUGH_MIDLINE_MM3:
        return False
    return float(body.midline_bone_mm2 @ body.midline_bone_back_mm) / total < MIDLINE_FRONT_MM


def _doubts_of_ct_numbers(series: CTSeries, body: BodyMeasures, offset: float) -> Iterator[Finding]:
    if offset:
        yield Finding(
            code="hu-offset",
            message=f"Air reads about {AIR_HU + offset:.0f} HU, not -1000: the CT numbers seem shifted.",
        )
    fat_hu = float(np.nanmedian(body.fat_hu)) if np.isfinite(body.fat_hu).any() else None
    if fat_hu is not None and not offset and not USUAL_FAT_HU[0] <= fat_hu <= USUAL_FAT_HU[1]:
        yield Finding(
            code="fat-hu",
            message=f"Fat reads about {fat_hu:.0f} HU; {USUAL_FAT_HU[0]:.0f} to {USUAL_FAT_HU[1]:.0f} are usual. "
            "Check the scanner's calibration.",
        )
    metal_mm3 = np.count_nonzero(series.hu > METAL_HU) * series.grid.voxel_mm3
    if metal_mm3 > METAL_MM3:
        yield Finding(code="metal", message=f"There are {metal_mm3 / 1000:.0f} cc of metal: check streaks.")
    if str(series.headers[0].get("LossyImageCompression", "")) == "01":
        yield Finding(code="lossy", message="The images were once compressed with loss.")
