"""On which image a contour lies, told by its points: what it refers to may be absent, wrong or of another series."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from worker.vendor_contours import VendorContour
from worker.vendor_images import ImageStack

FLAT_MM: Final = 0.05  # writers round coordinates to 0.1 mm at worst
_TIE_MM: Final = 1e-6
_SLACK_MM: Final = 0.01

Reference = Literal["right", "none", "unknown", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One contour among the images.

    Attributes:
        contour: the contour.
        plane: index of the image it lies on, or next to.
        off_mm: how far its farthest point lies from that image's plane.
        uneven_mm: difference in height between its highest and its lowest point above that plane.
        crooked_mm: how far its points leave their own best plane; all points shall be coplanar (PS3.3 C.8.8.6).
        reference: whether it names that image (`right`), another of the series (`wrong`), one that is not there
            (`unknown`), or none.
        points_px: (n, 2) column, row in that image, fractions of pixels from the centre of the first.
    """

    contour: VendorContour
    plane: int
    off_mm: float
    uneven_mm: float
    crooked_mm: float
    reference: Reference
    points_px: NDArray[np.float64]

    @property
    def parallel(self) -> bool:
        """Whether it runs along the images; other planes have no place on them."""
        return self.uneven_mm <= max(2 * FLAT_MM, 2 * self.crooked_mm)


def place(contour: VendorContour, stack: ImageStack) -> Placed:
    """Put a contour that has points among the images; of several at one position the one it names."""
    farthest = stack.farthest_from(contour.points_mm)
    plane = int(farthest.argmin())
    named = [stack.index_of[uid] for uid in contour.image_uids if uid in stack.index_of]
    for index in named:
        if farthest[index] <= farthest[plane] + max(_TIE_MM, FLAT_MM):
            plane = index
            break
    points_px, height = stack.planes[plane].project(contour.points_mm)
    return Placed(
        contour=contour,
        plane=plane,
        off_mm=float(np.abs(height).max()),
        uneven_mm=float(np.ptp(height)),
        crooked_mm=_crooked(contour.points_mm),
        reference=_reference(contour, stack, plane),
        points_px=points_px,
    )


def lies_beyond(placed: Placed, stack: ImageStack) -> bool:
    """Whether a contour lies farther from its image than half the way to the next."""
    return bool(placed.off_mm > stack.thickness_mm[placed.plane] / 2 + _SLACK_MM)


def _reference(contour: VendorContour, stack: ImageStack, plane: int) -> Reference:
    if not any(contour.image_uids):
        return "none"
    named = stack.sop_classes.keys() & contour.image_uids
    if not named:
        return "unknown"
    return "right" if stack.planes[plane].uid in named else "wrong"


def _crooked(points_mm: NDArray[np.float64]) -> float:
    """Largest distance of points (n, 3) from the plane that fits them best."""
    if len(points_mm) < 4:
        return 0.0
    centred = points_mm - points_mm.mean(axis=0)
    flattest = np.linalg.eigh(centred.T @ centred)[1][:, 0]
    return float(np.abs(centred @ flattest).max())
