"""Is this a CT of a pelvis? Refuses what cannot be one, and notes lesser doubts."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.body_measures import STEP_MM, BodyMeasures, measure_body
from worker.errors import LossyImages, NoPelvis, ShiftedCTNumbers, TooFewSlices
from worker.finding import Finding
from worker.series import MIN_SLICES, CTSeries
from worker.unchecked_values import numbers_of, text_of

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
END_MM: Final = 12.0
HIP_MM2: Final = (
    900.0  # of bone on each side: above the ischia's lower ends; below them only the femurs are left
)
MIDLINE_MM2: Final = 300.0  # of bone in the midline: symphysis in front, sacrum and spine behind
LEAST_TISSUE_HU: Final = -400
MUSCLE_HU: Final = (-20, 110)
SPINE_MM2: Final = 300.0  # of bone in the midline, on average over a third of the scan
EXCHANGED: Final = 4.0  # so many times more of it at the feet's end than at the head's
MIN_MUSCLE: Final = 0.08  # of soft tissue; a quarter and more in phantoms
LOSSY: Final = "LossyImageCompression"
METAL_MM3: Final = 1000.0


def check_series(series: CTSeries, *, accept_lossy: bool = False) -> tuple[Finding, ...]:
    """Findings about a series that may be contoured, beside those that reading made.

    Args:
        series: the CT.
        accept_lossy: whether images that were once compressed with loss are a finding only.

    Raises:
        TooFewSlices: fewer than 20 slices.
        NoPelvis: the image cannot show a pelvis.
        ShiftedCTNumbers: it does, but air reads far above -1000 HU.
        LossyImages: images were once compressed with loss, and that is not accepted.
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
    lossy = _about_loss(series)
    if lossy and not accept_lossy:
        raise LossyImages(f"{lossy} Loss moves edges and changes CT numbers.")
    findings = [*_doubts(series, body), *_doubts_of_ct_numbers(series, body, offset)]
    if not offset and _reads_low(coarse):
        findings.append(
            Finding(
                code="hu-offset",
                message="Hardly any tissue reads as high as muscle does: the CT numbers seem shifted downwards.",
            )
        )
    return (*findings, Finding(code="lossy", message=lossy)) if lossy else tuple(findings)


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


def _reads_low(hu: NDArray[np.int16]) -> bool:
    """Whether CT numbers seem shifted downwards: air is cut off at -1024 and cannot tell, so muscle must."""
    tissue = hu[(hu > LEAST_TISSUE_HU) & (hu < MUSCLE_HU[1])]
    return len(tissue) > 0 and float(np.mean(tissue > MUSCLE_HU[0])) < MIN_MUSCLE


def _about_loss(series: CTSeries) -> str:
    """How many images say that they were once compressed with loss (PS3.3 C.7.6.1.1.5); empty if none does."""
    with_loss = [text_of(h, "SOPInstanceUID") for h in series.headers if text_of(h, LOSSY) == "01"]
    if not with_loss:
        return ""
    return (
        f"{len(with_loss)} of {len(series.headers)} images were once compressed with loss, the first of them "
        f"instance {with_loss[0]}."
    )


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
            message=f"The series covers {len(series.hu) * step_mm / 10:.0f} cm{_short_ends(series, body)}: structures "
            "may be cut off.",
        )
    apart_mm, thick_mm = _largest_step_mm(series), _greatest_thickness_mm(series)
    if round(max(apart_mm, thick_mm), 1) > THICK_MM:
        thick = f" and up to {thick_mm:.1f} mm thick" if thick_mm else ""
        yield Finding(
            code="thick-slices",
            message=f"The slices are up to {apart_mm:.1f} mm apart{thick}: check the ends of organs.",
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
    if _midline_bone_at_the_feet(series, body):
        yield Finding(
            code="orientation-doubt",
            message="Sacrum and spine seem to lie at the feet's end: head and feet may be exchanged in the image, "
            "whatever its orientation says. Check the image before use.",
        )


def _largest_step_mm(series: CTSeries) -> float:
    normal = np.asarray(series.grid.direction)[2::3]
    return float(np.abs(np.diff(series.slice_positions_mm @ normal)).max())


def _greatest_thickness_mm(series: CTSeries) -> float:
    """Slice Thickness of the thickest slice; 0 where none tells."""
    told = [numbers_of(header, "SliceThickness", 1) for header in series.headers]
    return max((float(t[0]) for t in told if t is not None), default=0.0)


def _short_ends(series: CTSeries, body: BodyMeasures) -> str:
    """Which end of the pelvis the bones say is missing, as the message goes on; empty where they do not tell."""
    side, midline, back = (
        _from_feet_to_head(series, values)
        for values in (body.side_bone_mm2, body.midline_bone_mm2, body.midline_bone_back_mm)
    )
    n = max(1, round(END_MM / series.grid.spacing_mm[2]))
    feet = float(np.median(side[:n])) > HIP_MM2 or float(np.median(midline[:n])) > MIDLINE_MM2
    head = float(np.median(midline[-n:])) < MIDLINE_MM2 or float(np.median(back[-n:])) < 0
    if feet and head:
        return " and is short at both ends"
    return " and is short at the feet's end" if feet else " and is short at the head's end" if head else ""


def _from_feet_to_head(series: CTSeries, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A measure of each slice, in the patient's order instead of the series'."""
    return values if series.grid.direction[8] > 0 else values[::-1]


def _midline_bone_at_the_feet(series: CTSeries, body: BodyMeasures) -> bool:
    """Whether the feet's third of the scan has the midline's bone that the head's third should have.

    Sacrum and spine are at the head's end; below the pelvis there is no bone between the legs.
    """
    midline = _from_feet_to_head(series, body.midline_bone_mm2)
    third = max(1, len(midline) // 3)
    feet, head = float(midline[:third].mean()), float(midline[-third:].mean())
    return feet > SPINE_MM2 and feet > EXCHANGED * head


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
