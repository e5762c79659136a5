"""The contours of an RTSTRUCT, one by one: kind, points, shape, and where they lie among the images."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.contours import ring_area
from worker.polygon_checks import crosses_itself, has_loose_keyhole
from worker.vendor_contours import CLOSED, VendorContour
from worker.vendor_images import ImageStack
from worker.vendor_placing import Placed, lies_beyond
from worker.verify_codes import Objection
from worker.verify_subject import LaidRoi, Subject

MANY_POINTS: Final = 1000
COPLANAR_MM: Final = 0.05
ON_SLICE_MM: Final = 0.01
OUTSIDE_PX: Final = 1.0
TINY_PX: Final = 4.0
NO_AREA_MM2: Final = 0.01
_OPEN: Final = frozenset({"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"})
_Item = TypeVar("_Item")


def contour_objections(subject: Subject) -> Iterator[Objection]:
    """Everything about single contours, ROI by ROI."""
    for laid in subject.rois:
        yield from _kinds(laid)
        yield from _points(laid)
        yield from _shapes(laid, subject.stack)
        yield from _places(laid, subject.stack)
        yield from _references(laid, subject)


def _kinds(laid: LaidRoi) -> Iterator[Objection]:
    contours = laid.roi.contours
    kinds = Counter(contour.kind for contour in contours)
    for kind in sorted(_OPEN & set(kinds)):
        message = f"{kinds[kind]} of {len(contours)} contours are {kind}."
        yield Objection(code="not-closed", message=message, roi=laid.shown, count=kinds[kind])
    exclusive = kinds["CLOSEDPLANAR_XOR"]
    if exclusive:
        message = f"{exclusive} contours are CLOSEDPLANAR_XOR, which OHIF, Orthanc and Plastimatch drop."
        yield Objection(code="xor", message=message, roi=laid.shown, count=exclusive)
    unknown = sum(count for kind, count in kinds.items() if kind not in _OPEN and kind not in CLOSED)
    if unknown:
        message = f"{unknown} contours have no geometric type that the standard knows."
        yield Objection(code="kind-unknown", message=message, roi=laid.shown, count=unknown)


def _points(laid: LaidRoi) -> Iterator[Objection]:
    contours = laid.roi.contours
    for code, what in (
        ("no-points", "have no points"),
        ("not-numbers", "have points that are not numbers"),
        ("not-finite", "have points that are infinite, or no number"),
        ("not-triples", "have a number of coordinates that three does not divide"),
    ):
        yield from _some(laid, code, [c for c in contours if c.fault == code], what)
    readable = [c for c in contours if c.fault is None]
    yield from _some(
        laid,
        "point-count",
        [c for c in readable if c.stated_points is not None and c.stated_points != len(c.points_mm)],
        "state another number of points than they have",
    )
    closed = [c for c in readable if c.closed]
    yield from _some(
        laid, "few-points", [c for c in closed if len(c.points_mm) < 3], "have fewer than 3 points"
    )
    whole = [c for c in closed if len(c.points_mm) >= 3]
    yield from _some(
        laid,
        "first-repeated",
        [c for c in whole if (c.points_mm[0] == c.points_mm[-1]).all()],
        "repeat their first point at the end",
    )
    many = [c for c in closed if len(c.points_mm) > MANY_POINTS]
    most = max((len(c.points_mm) for c in many), default=0)
    yield from _some(laid, "many-points", many, f"have more than {MANY_POINTS} points, up to {most}")
    repeated = Counter(c.points_mm.tobytes() for c in whole)
    copies = sum(count - 1 for count in repeated.values())
    if copies:
        message = f"{copies} contours repeat another point by point."
        yield Objection(code="duplicate", message=message, roi=laid.shown, count=copies)


def _shapes(laid: LaidRoi, stack: ImageStack) -> Iterator[Objection]:
    flat = [placed for placed in laid.placed if placed.parallel]
    areas = {id(placed): abs(ring_area(_in_plane(placed, stack))) for placed in flat}
    lines = [p for p in flat if areas[id(p)] < NO_AREA_MM2]
    yield from _some(laid, "no-area", lines, "enclose no area")
    specks = [
        p
        for p in flat
        if NO_AREA_MM2 <= areas[id(p)] < TINY_PX * float(np.prod(stack.planes[p.plane].spacing_mm))
    ]
    yield from _some(laid, "tiny", specks, f"are smaller than {TINY_PX:.0f} pixels")
    yield from _some(
        laid, "crosses-itself", [p for p in flat if crosses_itself(_in_plane(p, stack))], "cross themselves"
    )
    yield from _some(
        laid,
        "loose-keyhole",
        [p for p in flat if has_loose_keyhole(_in_plane(p, stack))],
        "have a channel whose two walls are apart",
    )
    crooked = [p for p in laid.placed if p.crooked_mm > COPLANAR_MM]
    worst = max((p.crooked_mm for p in crooked), default=0.0)
    yield from _some(laid, "not-planar", crooked, f"do not lie in a plane, by up to {worst:.2f} mm")


def _places(laid: LaidRoi, stack: ImageStack) -> Iterator[Objection]:
    yield from _some(
        laid,
        "not-parallel",
        [p for p in laid.placed if not p.parallel and p.crooked_mm <= COPLANAR_MM],
        "lie in planes that are not the images'",
    )
    flat = [placed for placed in laid.placed if placed.parallel]
    beyond = [p for p in flat if lies_beyond(p, stack)]
    farthest = max((p.off_mm for p in beyond), default=0.0)
    yield from _some(laid, "off-images", beyond, f"lie up to {farthest:.2f} mm beyond the images")
    off = [p for p in flat if p not in beyond and p.off_mm > ON_SLICE_MM]
    farthest = max((p.off_mm for p in off), default=0.0)
    yield from _some(laid, "off-slice", off, f"lie between images, up to {farthest:.2f} mm off")
    outside = [p for p in flat if _beyond_image(p, stack) > OUTSIDE_PX]
    yield from _some(laid, "outside-image", outside, "reach beyond the image")


def _references(laid: LaidRoi, subject: Subject) -> Iterator[Objection]:
    contours = laid.roi.contours
    unnamed = [c for c in contours if not any(c.image_uids)]
    yield from _some(laid, "no-image-reference", unnamed, "name no image")
    present = {uid for stack in subject.stacks.values() for uid in stack.sop_classes}
    unknown = [c for c in contours if any(c.image_uids) and not present.intersection(c.image_uids)]
    yield from _some(laid, "reference-unknown", unknown, "name images that are not there")
    wrong = [p for p in laid.placed if p.reference == "wrong" and p.parallel]
    yield from _some(laid, "reference-wrong", wrong, "name another image than the one they lie on")
    other_class = [c for c in contours if _names_another_class(c, subject.stack)]
    yield from _some(laid, "image-class-differs", other_class, "name their image with another SOP class")
    several = [c for c in contours if len(c.image_uids) > 1]
    yield from _some(laid, "several-references", several, "name more than one image")


def _names_another_class(contour: VendorContour, stack: ImageStack) -> bool:
    pairs = zip(contour.image_uids, contour.image_classes, strict=True)
    return any(stack.sop_classes.get(uid, "") not in {"", kind} for uid, kind in pairs)


def _some(
    laid: LaidRoi, code: str, concerned: Sequence[VendorContour | Placed], what: str
) -> Iterator[Objection]:
    """One objection for all contours of an ROI that share a fault; the first is named by its place."""
    if not concerned:
        return
    first = concerned[0]
    place = first.contour.place if isinstance(first, Placed) else first.place
    total = len(laid.roi.contours)
    yield Objection(
        code=code,
        message=f"{len(concerned)} of {total} contours {what} (first: contour {place}).",
        roi=laid.shown,
        count=len(concerned),
    )


def _in_plane(placed: Placed, stack: ImageStack) -> NDArray[np.float64]:
    """Points (n, 2) in mm along a row and a column."""
    return np.asarray(placed.points_px * np.asarray(stack.planes[placed.plane].spacing_mm))


def _beyond_image(placed: Placed, stack: ImageStack) -> float:
    """How many pixels a contour reaches beyond the image's edge."""
    rows, columns = stack.planes[placed.plane].shape
    size = np.array([columns, rows])
    return float(max((-0.5 - placed.points_px).max(), (placed.points_px - (size - 0.5)).max()))
