"""The written RTSTRUCT, read back by a rasteriser that shares nothing with what drew it.

A pixel belongs to a contour if its centre lies inside, by the even-odd rule along its row. The two walls of a
keyhole's channel cancel exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.errors import RoundTripFailed
from worker.result import Result, StructureResult
from worker.roi_naming import DEFAULT_NAMING, RoiNaming
from worker.series import CTSeries

MIN_DSC: Final = 0.999
FRAGMENT_PX: Final = 8
_LEVEL_SLACK: Final = 1e-6
_OFF_PLANE_MM: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Raster:
    """What one ROI covers: a block of a volume.

    Attributes:
        corner_zyx: voxel at which the block begins.
        inside: (z, y, x) bool.
    """

    corner_zyx: tuple[int, int, int]
    inside: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice, slice]:
        """The block as an index into the volume."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.corner_zyx, self.inside.shape, strict=True))
        return z, y, x


def rasterise(dataset: Dataset, series: CTSeries) -> dict[str, NDArray[np.bool_]]:
    """Every ROI of an RTSTRUCT as a mask (z, y, x) on the series' slices, by ROI name."""
    masks = {}
    for name, raster in rasterise_rois(dataset, series):
        mask = np.zeros(series.hu.shape, dtype=bool)
        mask[raster.region] = raster.inside
        masks[name] = mask
    return masks


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
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
    slices = {uid: index for index, uid in enumerate(series.sop_instance_uids)}
    for roi in dataset.ROIContourSequence:
        name = names[int(roi.ReferencedROINumber)]
        pieces: list[tuple[int, bool, Raster]] = []
        for contour in roi.get("ContourSequence") or ():
            if contour.ContourGeometricType in {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
                index, points = _on_slice(contour, series, slices, name=name, off_plane_mm=off_plane_mm)
                exclusive = contour.ContourGeometricType == "CLOSEDPLANAR_XOR"
                pieces.append((index, exclusive, _fill(points, index, series.hu.shape)))
        yield name, _union(pieces)


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
        style = naming.style(structure.name)
        for bound, name in naming.names(structure.name, percent=structure.percent).items():
            expected[name] = (structure, bound, style.fill_holes)
    return expected


def _on_slice(
    contour: Dataset, series: CTSeries, slices: Mapping[str, int], *, name: str, off_plane_mm: float
) -> tuple[int, NDArray[np.float64]]:
    """Slice index and pixel coordinates (n, 2) column, row of a contour."""
    flat = np.array(_decimal_strings(contour), dtype=np.float64)
    points = flat.reshape(-1, 3)
    if len(points) != int(contour.NumberOfContourPoints):
        raise RoundTripFailed(
            f"A contour of {name} has {len(points)} points, not {contour.NumberOfContourPoints}."
        )
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    images = contour.get("ContourImageSequence")
    if images and str(images[0].ReferencedSOPInstanceUID) in slices:
        index = slices[str(images[0].ReferencedSOPInstanceUID)]
    else:
        index = int(np.argmin(np.abs((series.slice_positions_mm - points[0]) @ axes[:, 2])))
    local = (points - series.slice_positions_mm[index]) @ axes
    if np.abs(local[:, 2]).max() > off_plane_mm:
        raise RoundTripFailed(
            f"A contour of {name} lies {np.abs(local[:, 2]).max():.2f} mm off instance "
            f"{series.sop_instance_uids[index]}."
        )
    return index, local[:, :2] / np.asarray(series.grid.spacing_mm[:2])


def _decimal_strings(contour: Dataset) -> list[bytes] | list[float]:
    """The numbers of Contour Data, without pydicom's costly DS objects if it has not made them yet."""
    element = contour.get_item("ContourData")
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        return value.split(b"\\")
    return [float(number) for number in value or ()]


def _fill(points: NDArray[np.float64], index: int, shape_zyx: tuple[int, ...]) -> Raster:
    """Pixels whose centre lies in a closed polygon (n, 2) by the even-odd rule along rows.

    Edges are taken from their upper to their lower end, so that an edge and its reverse cross a row at the
    same number, bit for bit.
    """
    following = np.roll(points, -1, axis=0)
    falls = points[:, 1] > following[:, 1]
    begin = np.where(falls[:, None], following, points)
    end = np.where(falls[:, None], points, following)
    first = np.maximum(np.ceil(begin[:, 1]), 0).astype(np.intp)
    stop = np.minimum(np.ceil(end[:, 1]), shape_zyx[1]).astype(np.intp)
    left = int(np.clip(np.floor(points[:, 0].min()), 0, shape_zyx[2] - 1))
    right = int(np.clip(np.ceil(points[:, 0].max()), left, shape_zyx[2] - 1))
    counts = np.maximum(stop - first, 0)
    if not counts.sum():
        return Raster(corner_zyx=(index, 0, left), inside=np.zeros((1, 0, 0), dtype=bool))
    top, bottom = int(first[counts > 0].min()), int(stop[counts > 0].max())
    edge = np.repeat(np.arange(len(points)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    slope = (end[edge, 0] - begin[edge, 0]) / (end[edge, 1] - begin[edge, 1])
    column = np.ceil(begin[edge, 0] + (row - begin[edge, 1]) * slope).astype(np.intp)
    width = right - left + 2
    place = (row - top) * width + np.clip(column - left, 0, width - 1)
    crossings = np.bincount(place, minlength=(bottom - top) * width).reshape(bottom - top, width)
    inside = (np.cumsum(crossings[:, :-1], axis=1) & 1).astype(bool)
    return Raster(corner_zyx=(index, top, left), inside=inside[np.newaxis])


def _union(pieces: list[tuple[int, bool, Raster]]) -> Raster:
    """One block around all contours of an ROI; CLOSED_PLANAR adds, CLOSEDPLANAR_XOR flips."""
    rasters = [raster for _, _, raster in pieces if raster.inside.size]
    if not rasters:
        return Raster(corner_zyx=(0, 0, 0), inside=np.zeros((0, 0, 0), dtype=bool))
    low = np.min([r.corner_zyx for r in rasters], axis=0)
    high = np.max([np.add(r.corner_zyx, r.inside.shape) for r in rasters], axis=0)
    block = np.zeros(tuple(high - low), dtype=bool)
    for _, exclusive, raster in pieces:
        region = tuple(slice(s.start - a, s.stop - a) for s, a in zip(raster.region, low, strict=True))
        if raster.inside.size and exclusive:
            block[region] ^= raster.inside
        elif raster.inside.size:
            block[region] |= raster.inside
    return Raster(corner_zyx=(int(low[0]), int(low[1]), int(low[2])), inside=block)


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
