"""An RTSTRUCT of any maker as masks on its images, and what was met on the way.

No library reads every kind: most fill nested rings, drop CLOSEDPLANAR_XOR, or match ROIs by place. Here keyholes are
holes; CLOSEDPLANAR_XOR flips; CLOSED_PLANAR contours that lie within each other add up, as planning systems mostly have
it, unless holes are asked for; contours between images go to the nearest.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from worker.raster import Raster, combine, fill, share_pixels
from worker.vendor_contours import VendorContour, VendorRoi, VendorStructureSet
from worker.vendor_images import ImageStack
from worker.vendor_placing import Placed, lies_beyond, place

NOTED_OFF_MM: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class RoiReport:
    """What one ROI was found to be.

    Attributes:
        number: ROI Number, if it has one.
        name: ROI Name.
        kinds: how many contours of each Contour Geometric Type.
        used: contours that the mask was made of.
        left_out: how many closed contours were not, by reason: `no-points`, `not-numbers`, `not-finite`,
            `not-triples`, `few-points`, `not-parallel`, `off-images`.
        references: how many of the used name their image (`right`), or `wrong`, `unknown`, `none`.
        off_slice: contours that lie between images.
        off_slice_mm: the farthest of them.
        miscounted: contours whose Number of Contour Points is not the number of their points.
        nested: images on which contours without holes of their own lie within or over each other.
        duplicates: contours that repeat another of the ROI point by point.
    """

    number: int | None
    name: str
    kinds: dict[str, int]
    used: int
    left_out: dict[str, int]
    references: dict[str, int]
    off_slice: int
    off_slice_mm: float
    miscounted: int
    nested: int
    duplicates: int

    @property
    def empty(self) -> bool:
        """Whether it has no contour at all."""
        return not self.kinds


@dataclass(frozen=True, kw_only=True)
class ReadRoi:
    """One ROI, read: its mask as a block of the images' volume, the contours it was made of, and the report."""

    report: RoiReport
    raster: Raster
    placed: tuple[Placed, ...] = field(repr=False)


def read_rois(
    structure_set: VendorStructureSet,
    stack: ImageStack,
    *,
    off_slice_mm: float | None = None,
    nested_as_holes: bool = False,
) -> Iterator[ReadRoi]:
    """Every ROI, in the structure set's order, those without contours included.

    Args:
        structure_set: from `worker/vendor_contours.py`.
        stack: the images.
        off_slice_mm: how far contours may lie from their image; by default half the way to the next.
        nested_as_holes: contours of one ROI on one image cancel where they overlap, whatever their type.
    """
    for roi in structure_set.rois:
        yield read_roi(roi, stack, off_slice_mm=off_slice_mm, nested_as_holes=nested_as_holes)


def read_roi(
    roi: VendorRoi, stack: ImageStack, *, off_slice_mm: float | None = None, nested_as_holes: bool = False
) -> ReadRoi:
    """One ROI; see `read_rois`."""
    left_out: Counter[str] = Counter()
    placed = []
    for contour in roi.closed:
        each, reason = _usable(contour, stack, off_slice_mm)
        if each is None:
            left_out[reason] += 1
        else:
            placed.append(each)
    rasters = [fill(each.points_px, each.plane, stack.shape_zyx) for each in placed]
    exclusive = [nested_as_holes or each.contour.kind == "CLOSEDPLANAR_XOR" for each in placed]
    off = [each.off_mm for each in placed if each.off_mm > NOTED_OFF_MM]
    repeated = Counter(each.contour.points_mm.tobytes() for each in placed)
    report = RoiReport(
        number=roi.number,
        name=roi.name,
        kinds=dict(Counter(contour.kind for contour in roi.contours)),
        used=len(placed),
        left_out=dict(left_out),
        references=dict(Counter(each.reference for each in placed)),
        off_slice=len(off),
        off_slice_mm=max(off, default=0.0),
        miscounted=sum(c.fault is None and c.stated_points != len(c.points_mm) for c in roi.contours),
        nested=len(overlapping(placed, rasters)),
        duplicates=sum(count - 1 for count in repeated.values()),
    )
    raster = combine(list(zip(exclusive, rasters, strict=True)))
    return ReadRoi(report=report, raster=raster, placed=tuple(placed))


def overlapping(placed: list[Placed], rasters: list[Raster]) -> set[int]:
    """Images on which CLOSED_PLANAR contours of one ROI share pixels."""
    on_plane: dict[int, list[Raster]] = {}
    for each, raster in zip(placed, rasters, strict=True):
        if each.contour.kind == "CLOSED_PLANAR":
            on_plane.setdefault(each.plane, []).append(raster)
    return {plane for plane, group in on_plane.items() if share_pixels(group)}


def _usable(
    contour: VendorContour, stack: ImageStack, off_slice_mm: float | None
) -> tuple[Placed | None, str]:
    """A closed contour on its image, or why it has no place there."""
    if contour.fault is not None:
        return None, contour.fault
    if len(contour.points_mm) < 3:
        return None, "few-points"
    placed = place(contour, stack)
    if not placed.parallel:
        return None, "not-parallel"
    off = lies_beyond(placed, stack) if off_slice_mm is None else placed.off_mm > off_slice_mm
    return (None, "off-images") if off else (placed, "")
