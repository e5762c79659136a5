"""The contours of one ROI to a shape that any grid can ask, however coarse the slices.

On each slice the contours are filled on a grid finer than the CT's, and become a signed distance. Between slices the
distance is interpolated, so that a shape changes smoothly from one to the next (Raya and Udupa, IEEE TMI 9, 1990). At
both ends a shape reaches half a slice beyond its last contour, as volumes of planning systems do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from worker.grid import Grid, resample
from worker.series import CTSeries
from worker.vendor_contours import VendorRoi, contours_of
from worker.vendor_images import stack_of
from worker.vendor_masks import read_roi
from worker.vendor_placing import place
from worker.voi import box_of, part_of

FINE_MM: Final = 0.75  # half the working grid's pixel
OFF_SLICE_MM: Final = 0.3  # writers round slice positions to 0.1 mm; the next slice is 1 mm away at least
OFF_SLICE_STEPS: Final = 0.2
BRIDGED_MM: Final = 6.0  # a slice or two without a contour; more is not for us to guess
FAR_MM: Final = 1000.0
_FAULTS: Final = {
    "no-points": "A contour has no points.",
    "not-numbers": "A contour's points are not numbers.",
    "not-finite": "A contour's points are not numbers.",
    "not-triples": "A contour's numbers do not come in threes.",
}


class ContourProblem(Exception):
    """Why an ROI cannot be read; `code` is stable, the text names no ROI and no patient."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One structure.

    Attributes:
        grid: block of fine pixels on the CT's slices around the structure, with a margin.
        distance_mm: (z, y, x) in each slice's plane to the structure's edge, positive inside.
        contoured: slices that have contours.
        bridged: slices between them that have none and were interpolated.
        nested: whether contours lie within each other, which is read as filled.
    """

    grid: Grid
    distance_mm: NDArray[np.float32]
    contoured: int
    bridged: int
    nested: bool

    @property
    def volume_cc(self) -> float:
        """Volume of the fine pixels inside, each as thick as the slices' distance."""
        return float(np.count_nonzero(self.distance_mm > 0)) * self.grid.voxel_mm3 / 1000

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """Centroid, LPS mm (3,)."""
        return self.grid.to_patient(np.argwhere(self.distance_mm > 0).mean(0)[::-1])

    def on(self, target: Grid) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]] | None:
        """Signed distance (z, y, x) mm on the part of a grid near the structure, and which part; None if none is."""
        box = box_of(self.grid, target)
        if box is None:
            return None
        return box, resample(self.distance_mm, self.grid, part_of(target, box), outside=-FAR_MM)


def shape_of(roi: Dataset, series: CTSeries, elsewhere: Mapping[str, str]) -> Shape:
    """The shape that an ROI's contours enclose.

    Args:
        roi: an item of ROI Contour Sequence.
        series: the CT.
        elsewhere: images of other series that the structure set names, by SOP Instance UID, and their series.

    Raises:
        ContourProblem: there are none, or they are not on this CT's slices, or leave slices out.
    """
    closed = _closed(roi, elsewhere)
    if not closed.contours:
        raise ContourProblem("empty", "It has no closed contour.")
    fine, factor = _finer(series)
    inside, corner, nested = _fill(closed, fine)
    filled = np.flatnonzero(inside.any((1, 2)))
    if not len(filled):
        raise ContourProblem("outside-image", "Its contours enclose no pixel of the CT.")
    bridged = _gaps(filled, series.grid.spacing_mm[2])
    margin = factor + 2
    inside = np.pad(inside[filled[0] : filled[-1] + 1], [(1, 1), (margin, margin), (margin, margin)])
    low = np.array(corner) + (filled[0] - 1, -margin, -margin)
    box = [slice(int(a), int(a) + n) for a, n in zip(low, inside.shape, strict=True)]
    return Shape(
        grid=part_of(fine.grid, (box[0], box[1], box[2])),
        distance_mm=_distances(inside, fine.grid.spacing_mm[1::-1]),
        contoured=len(filled),
        bridged=bridged,
        nested=nested,
    )


def _closed(drawn: Dataset, elsewhere: Mapping[str, str]) -> VendorRoi:
    """The contours that enclose something: where they lie is told by their points, whatever they refer to."""
    contours = [c for c in contours_of(drawn) if c.closed and not (c.stated_points or 3) < 3]
    foreign = sum(bool(c.image_uids) and all(uid in elsewhere for uid in c.image_uids) for c in contours)
    for contour in contours:
        if contour.fault is not None:
            raise ContourProblem("bad-contour", _FAULTS[contour.fault])
        if len(contour.points_mm) != contour.stated_points:
            raise ContourProblem(
                "bad-contour", f"A contour has {len(contour.points_mm)} points, not {contour.stated_points}."
            )
    if foreign:
        raise ContourProblem(
            "other-series",
            f"{foreign} of its {len(contours)} contours are drawn on images of another series.",
        )
    return VendorRoi(number=None, name="", defined=None, drawn=(), observed=(), contours=tuple(contours))


def _finer(series: CTSeries) -> tuple[CTSeries, int]:
    """The same slices with pixels of at most `FINE_MM`, and into how many each was divided along a row."""
    grid = series.grid
    factor = max(1, int(np.ceil(max(grid.spacing_mm[:2]) / FINE_MM)))
    shift = (1 / factor - 1) / 2  # from the centre of a pixel to that of its first part
    move = grid.to_patient((shift, shift, 0)) - grid.to_patient((0, 0, 0))
    origin = np.asarray(grid.origin_mm) + move
    columns, rows, slices = grid.size_xyz
    size = (columns * factor, rows * factor, slices)
    fine = Grid(
        size_xyz=size,
        spacing_mm=(grid.spacing_mm[0] / factor, grid.spacing_mm[1] / factor, grid.spacing_mm[2]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=grid.direction,
        frame_of_reference_uid=grid.frame_of_reference_uid,
    )
    no_image = np.broadcast_to(np.int16(0), fine.shape_zyx)
    return replace(
        series, grid=fine, hu=no_image, slice_positions_mm=series.slice_positions_mm + move
    ), factor


def _fill(roi: VendorRoi, fine: CTSeries) -> tuple[NDArray[np.bool_], tuple[int, int, int], bool]:
    """Pixels inside (z, y, x), where that block begins, and whether contours lie within each other."""
    tolerance = min(OFF_SLICE_MM, OFF_SLICE_STEPS * fine.grid.spacing_mm[2])
    stack = stack_of(fine)
    read = read_roi(roi, stack, off_slice_mm=tolerance)
    if read.report.left_out:
        off = [place(c, stack) for c in roi.contours if len(c.points_mm) >= 3]
        worst = max(off, key=lambda each: each.off_mm)
        raise ContourProblem(
            "off-slice",
            f"A contour lies {worst.off_mm:.2f} mm off instance {stack.planes[worst.plane].uid}.",
        )
    return read.raster.inside, read.raster.corner_zyx, read.report.nested > 0


def _gaps(filled: NDArray[np.intp], step_mm: float) -> int:
    """Slices without contours between others; a wide gap is refused."""
    steps = np.diff(filled)
    widest = int(steps.max(initial=1)) - 1
    if widest > max(1, BRIDGED_MM / step_mm):
        raise ContourProblem("gap", f"{widest} slices in a row between its contours have none.")
    return int((steps - 1).sum())


def _distances(inside: NDArray[np.bool_], spacing_yx_mm: tuple[float, ...]) -> NDArray[np.float32]:
    """Signed distance on each slice; interpolated on slices within, mirrored on the empty ones at both ends."""
    distance = np.empty(inside.shape, np.float32)
    filled = np.flatnonzero(inside.any((1, 2)))
    for z in filled:
        distance[z] = ndimage.distance_transform_edt(inside[z], sampling=spacing_yx_mm)
        distance[z] -= ndimage.distance_transform_edt(~inside[z], sampling=spacing_yx_mm)
    for before, after in zip(filled, filled[1:], strict=False):
        for between in range(int(before) + 1, int(after)):
            share = (between - before) / (after - before)
            distance[between] = (1 - share) * distance[before] + share * distance[after]
    distance[: filled[0]] = -np.abs(distance[filled[0]])
    distance[filled[-1] + 1 :] = -np.abs(distance[filled[-1]])
    return distance
