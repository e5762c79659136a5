"""The written RTSTRUCT, read back by a rasteriser that shares nothing with what drew it."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.errors import RoundTripFailed
from worker.raster import Raster, combine, fill
from worker.result import Result, StructureResult
from worker.roi_naming import DEFAULT_NAMING, RoiNaming
from worker.series import CTSeries
from worker.vendor_contours import VendorContour, parse_structure_set

MIN_DSC: Final = 0.999
FRAGMENT_PX: Final = 8
_LEVEL_SLACK: Final = 1e-6
_OFF_PLANE_MM: Final = 0.01


def rasterise(dataset: Dataset, series: CTSeries) -> dict[str, NDArray[np.bool_]]:
    """Every ROI of an RTSTRUCT as a mask (z, y, x) on the series' slices, by ROI name."""
    return {name: raster.within(series.hu.shape) for name, raster in rasterise_rois(dataset, series)}


def rasterise_rois(
    dataset: Dataset, series: CTSeries, *, off_plane_mm: float = _OFF_PLANE_MM
) -> Iterator[tuple[str, Raster]]:
    """The same one by one, and only the block that each ROI covers.

    Args:
        dataset: the RTSTRUCT.
        series: the CT.
        off_plane_mm: how far a contour's points may lie from their slice; others' writers round.

    Raises:
        RoundTripFailed: a contour does not lie on one of the series' slices.
    """
    slices = {uid: index for index, uid in enumerate(series.sop_instance_uids)}
    for roi in parse_structure_set(dataset).rois:
        if roi.drawn:
            pieces = []
            for contour in roi.closed:
                index, points = _on_slice(contour, series, slices, name=roi.name, off_plane_mm=off_plane_mm)
                exclusive = contour.kind == "CLOSEDPLANAR_XOR"
                pieces.append((exclusive, fill(points, index, series.hu.shape)))
            yield roi.name, combine(pieces)


def prove(dataset: Dataset, result: Result, *, naming: RoiNaming = DEFAULT_NAMING) -> dict[str, float]:
    """Compare what is written with what was computed.

    Args:
        dataset: the RTSTRUCT, read from where it was written.
        result: what it was written from.
        naming: the names it was written with.

    Returns:
        DSC of each ROI with the voxels in which the field reaches its level.

    Raises:
        RoundTripFailed: a DSC below 0.999, an ROI that nobody asked for, or bounds that are not nested.
    """
    fields = _expected(result, naming)
    scores: dict[str, float] = {}
    nested: dict[str, dict[str, Raster]] = {}
    for name, raster in rasterise_rois(dataset, result.series):
        if name not in fields:
            raise RoundTripFailed(f"The RTSTRUCT holds an ROI {name} that was not computed.")
        structure, bound, fill = fields[name]
        field: NDArray[np.float32] = getattr(structure, bound)
        scores[name] = _score(name, raster, field, structure.level, fill_holes=fill)
        nested.setdefault(structure.name, {})[bound] = raster
    for name, rasters in nested.items():
        _check_nested(name, rasters)
    return scores


def prove_fields(
    dataset: Dataset, series: CTSeries, fields: Mapping[str, tuple[NDArray[np.floating], float]]
) -> dict[str, float]:
    """As `prove`, for plain ROIs: per name a field (z, y, x) and its level, holes kept."""
    scores = {}
    for name, raster in rasterise_rois(dataset, series):
        field, level = fields[name]
        scores[name] = _score(name, raster, field, level, fill_holes=False)
    return scores


def _score(
    name: str, raster: Raster, field: NDArray[np.floating], level: float, *, fill_holes: bool
) -> float:
    dsc = _dsc(raster, field, level, fill_holes=fill_holes)
    if dsc < MIN_DSC:
        raise RoundTripFailed(f"Read back from the RTSTRUCT, {name} has DSC {dsc:.4f} with the result.")
    return dsc


def _expected(result: Result, naming: RoiNaming) -> dict[str, tuple[StructureResult, str, bool]]:
    expected = {}
    for structure in result.structures:
        for bound, name in naming.written_names(structure.name, percent=structure.percent).items():
            expected[name] = (structure, bound, naming.style(structure.name).fill_holes)
    return expected


def _on_slice(
    contour: VendorContour, series: CTSeries, slices: Mapping[str, int], *, name: str, off_plane_mm: float
) -> tuple[int, NDArray[np.float64]]:
    """Slice index and pixel coordinates (n, 2) column, row of a contour, on the slice that it names."""
    points = contour.points_mm
    if contour.fault is not None or len(points) != contour.stated_points:
        raise RoundTripFailed(
            f"A contour of {name} has {len(points)} points that can be read, not {contour.stated_points}."
        )
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    if contour.image_uids and contour.image_uids[0] in slices:
        index = slices[contour.image_uids[0]]
    else:
        index = int(np.argmin(np.abs((series.slice_positions_mm - points[0]) @ axes[:, 2])))
    local = (points - series.slice_positions_mm[index]) @ axes
    if np.abs(local[:, 2]).max() > off_plane_mm:
        raise RoundTripFailed(
            f"A contour of {name} lies {np.abs(local[:, 2]).max():.2f} mm off instance "
            f"{series.sop_instance_uids[index]}."
        )
    return index, local[:, :2] / np.asarray(series.grid.spacing_mm[:2])


def _dsc(raster: Raster, field: NDArray[np.floating], level: float, *, fill_holes: bool) -> float:
    """DSC of an ROI with `field >= level`, forgiving what the contours leave out on purpose.

    That is: fragments of a few pixels on a slice, and holes where holes are to be filled.
    """
    threshold = level - _LEVEL_SLACK
    reached = field.max(axis=(1, 2)) > threshold
    z, y, x = raster.region
    reached[z] = True
    overlap = expected = 0
    for index in np.flatnonzero(reached):
        wanted = field[index] > threshold
        drawn = np.zeros(wanted.shape, dtype=bool)
        if z.start <= index < z.stop:
            drawn[y, x] = raster.inside[index - z.start]
        if (wanted != drawn).any():
            wanted = _forgiven(wanted, drawn, fill_holes=fill_holes)
        overlap += int(np.count_nonzero(wanted & drawn))
        expected += int(np.count_nonzero(wanted))
    total = expected + int(np.count_nonzero(raster.inside))
    return 2 * overlap / total if total else 1.0


def _forgiven(wanted: NDArray[np.bool_], drawn: NDArray[np.bool_], *, fill_holes: bool) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(wanted)  # by faces: a speck that touches by a corner is a contour of its own
    sizes = np.bincount(labels.ravel())
    touched = np.bincount(labels[drawn], minlength=len(sizes)) > 0
    dropped = (sizes <= FRAGMENT_PX) & ~touched
    dropped[0] = False
    wanted = wanted & ~dropped[labels]
    return wanted | (drawn & ndimage.binary_fill_holes(wanted)) if fill_holes else wanted


def _check_nested(name: str, rasters: Mapping[str, Raster]) -> None:
    present = [rasters[bound] for bound in ("lower", "mean", "upper") if bound in rasters]
    for inner, outer in zip(present, present[1:], strict=False):
        low = np.minimum(inner.corner_zyx, outer.corner_zyx)
        high = np.maximum(
            np.add(inner.corner_zyx, inner.inside.shape), np.add(outer.corner_zyx, outer.inside.shape)
        )
        blocks = []
        for raster in (inner, outer):
            block = np.zeros(tuple(high - low), dtype=bool)
            block[tuple(slice(s.start - a, s.stop - a) for s, a in zip(raster.region, low, strict=True))] = (
                raster.inside
            )
            blocks.append(block)
        if (blocks[0] & ~blocks[1]).any():
            raise RoundTripFailed(f"The bounds of {name} are not nested in the written RTSTRUCT.")
