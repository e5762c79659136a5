"""Volumes of the ROIs, and what their contours are to each other: nested, overlapping, with slices left out.

Volume is the area of the polygons times the height that their slice stands for (half the way to each neighbour, the
ends counted as thick as their inner half). Where contours of one ROI overlap on a slice, are exclusive, or cross
themselves, the slice's area is that of its pixels.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.contours import ring_area
from worker.raster import Raster, combine, share_pixels
from worker.unchecked_values import text_of
from worker.vendor_images import ImageStack
from worker.vendor_placing import Placed
from worker.verify_codes import Objection
from worker.verify_rois import DEFINED_TYPES
from worker.verify_subject import LaidRoi, Subject

_DIFFERS: Final = 0.05
_DIFFERS_CC: Final = 0.1
_INSIDE: Final = 0.999


@dataclass(frozen=True, kw_only=True)
class RoiSummary:
    """One ROI as it is listed.

    Attributes:
        number: ROI Number.
        name: ROI Name as it may be shown.
        kind: RT ROI Interpreted Type; `?` if it is no defined term.
        contours: all contours.
        slices: images with closed contours.
        volume_cc: by the definition above; None without closed contours along the images.
        stated_cc: ROI Volume, if it is stated.
    """

    number: int | None
    name: str
    kind: str
    contours: int
    slices: int
    volume_cc: float | None
    stated_cc: float | None


def summaries(subject: Subject) -> list[RoiSummary]:
    """Every ROI with its volume."""
    return [_summary(laid, subject.stack) for laid in subject.rois]


def volume_objections(subject: Subject) -> Iterator[Objection]:
    """Everything about an ROI's contours taken together."""
    for laid in subject.rois:
        slices = on_slices(laid)
        yield from _overlaps(laid, slices)
        yield from _gaps(laid, slices, subject.stack)
        yield from _stated(laid, subject.stack)


Slices = dict[int, list[tuple[Placed, Raster]]]


def on_slices(laid: LaidRoi) -> Slices:
    """The contours that run along the images and lie on or next to one, by image."""
    slices: Slices = defaultdict(list)
    for placed, raster in zip(laid.placed, laid.rasters, strict=True):
        if raster is not None:
            slices[placed.plane].append((placed, raster))
    return dict(slices)


def volume_cc(laid: LaidRoi, stack: ImageStack) -> float | None:
    """Volume of an ROI; None if none of its contours runs along the images."""
    slices = on_slices(laid)
    if not slices:
        return None
    return sum(_area_mm2(each, stack) * float(stack.thickness_mm[z]) for z, each in slices.items()) / 1000


def _area_mm2(contours: list[tuple[Placed, Raster]], stack: ImageStack) -> float:
    spacing = np.asarray(stack.planes[contours[0][0].plane].spacing_mm)
    exclusive = any(placed.contour.kind == "CLOSEDPLANAR_XOR" for placed, _ in contours)
    if exclusive or share_pixels([raster for _, raster in contours]):
        pieces = [(placed.contour.kind == "CLOSEDPLANAR_XOR", raster) for placed, raster in contours]
        return float(np.count_nonzero(combine(pieces).inside) * np.prod(spacing))
    return sum(abs(ring_area(placed.points_px * spacing)) for placed, _ in contours)


def _summary(laid: LaidRoi, stack: ImageStack) -> RoiSummary:
    number, name = laid.shown
    kind = text_of(laid.roi.observed[0], "RTROIInterpretedType") if laid.roi.observed else ""
    return RoiSummary(
        number=number,
        name=name,
        kind=kind if kind in DEFINED_TYPES else "?" * bool(kind),
        contours=len(laid.roi.contours),
        slices=len(on_slices(laid)),
        volume_cc=volume_cc(laid, stack),
        stated_cc=_stated_cc(laid),
    )


def _overlaps(laid: LaidRoi, slices: Slices) -> Iterator[Objection]:
    nested = overlapping = 0
    for contours in slices.values():
        rasters = [raster for placed, raster in contours if placed.contour.kind == "CLOSED_PLANAR"]
        if not share_pixels(rasters):
            continue
        if any(_within(a, b) for a in rasters for b in rasters if a is not b):
            nested += 1
        else:
            overlapping += 1
    if nested:
        message = f"On {nested} of {len(slices)} slices a contour lies within another; systems fill it, or cut it out."
        yield Objection(code="nested", message=message, roi=laid.shown, count=nested)
    if overlapping:
        message = f"On {overlapping} of {len(slices)} slices contours overlap."
        yield Objection(code="overlapping", message=message, roi=laid.shown, count=overlapping)


def _within(inner: Raster, outer: Raster) -> bool:
    pixels = int(np.count_nonzero(inner.inside))
    both = np.count_nonzero(combine([(False, inner), (False, outer)]).inside)
    shared = pixels + np.count_nonzero(outer.inside) - both
    return bool(pixels and shared >= _INSIDE * pixels)


def _gaps(laid: LaidRoi, slices: Slices, stack: ImageStack) -> Iterator[Objection]:
    if not slices:
        return
    present = sorted({_height(stack, z) for z in slices})
    levels = sorted({_height(stack, z) for z in range(min(slices), max(slices) + 1)})
    missing = len(levels) - len(present)
    if missing > 0:
        message = f"{missing} slices between its ends have no contour."
        yield Objection(code="slice-gap", message=message, roi=laid.shown, count=missing)


def _height(stack: ImageStack, index: int) -> float:
    plane = stack.planes[index]
    return round(float(plane.position_mm @ stack.planes[0].axes[:, 2]), 2)


def _stated(laid: LaidRoi, stack: ImageStack) -> Iterator[Objection]:
    stated, computed = _stated_cc(laid), volume_cc(laid, stack)
    if stated is None or computed is None:
        return
    if abs(stated - computed) > max(_DIFFERS_CC, _DIFFERS * computed):
        message = f"It states {stated:.2f} cc; its contours enclose {computed:.2f} cc."
        yield Objection(code="volume-differs", message=message, roi=laid.shown)


def _stated_cc(laid: LaidRoi) -> float | None:
    if laid.roi.defined is None:
        return None
    try:
        value = float(text_of(laid.roi.defined, "ROIVolume"))
    except ValueError:
        return None
    return value if np.isfinite(value) and abs(value) < 1e7 else None
