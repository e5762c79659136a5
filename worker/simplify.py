"""Fewer points on a contour of marching squares, with every pixel centre left on its side.

A vertex of marching squares lies on the edge between two neighbouring pixel centres, one inside and one
outside. That edge is the vertex's gate. A chord that replaces a run of vertices and passes through all their
gates in order passes through the same cells in the same order, so no pixel centre changes sides and no two
contours meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLEARANCE_PX: Final = 0.01
MIN_POINTS: Final = 6
_ROUNDS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Ring:
    """One closed contour in pixel indices.

    Attributes:
        points: (n, 2) column, row of all vertices of marching squares; the first is not repeated.
        kept: indices of the vertices that stay.
    """

    points: NDArray[np.float64]
    kept: NDArray[np.intp]

    @property
    def simplified(self) -> NDArray[np.float64]:
        """The vertices that stay (m, 2)."""
        return self.points[self.kept]


def clear_of_centres(points: NDArray[np.float64]) -> Ring:
    """Move vertices (n, 2) along their gates to at least `CLEARANCE_PX` from the pixel centres at both ends.

    Rounding to micrometres can then not carry the contour over a centre.
    """
    nearest = np.rint(points)
    on_line = np.abs(points - nearest) < 1e-7
    low = np.floor(points)
    free = np.clip(points, low + CLEARANCE_PX, low + 1 - CLEARANCE_PX)
    return Ring(points=np.where(on_line, nearest, free), kept=np.arange(len(points)))


def simplify_rings(rings: Sequence[Ring], spacing_mm: tuple[float, float], tolerance_mm: float) -> list[Ring]:
    """Drop vertices that lie within the tolerance of the chord that replaces them, all rings at once.

    Every second vertex that stayed is tried in each round; a chord is taken if it respects all vertices it
    spans, not only the one tried.

    Args:
        rings: contours in pixel indices (column, row).
        spacing_mm: distance of columns, then of rows.
        tolerance_mm: largest distance of a dropped vertex from its chord.

    Returns:
        The rings with fewer vertices kept, in the same order.
    """
    if not rings:
        return []
    points = np.concatenate([ring.points for ring in rings])
    sizes = np.array([len(ring.points) for ring in rings])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    kept = [ring.kept for ring in rings]
    for _ in range(_ROUNDS):
        chords = [_alternate_chords(k, n, s) for k, n, s in zip(kept, sizes, starts, strict=True)]
        run = np.concatenate(chords)
        if not len(run):
            break
        removable = _respects_gates(points, run, np.asarray(spacing_mm), tolerance_mm)
        parts = np.split(removable, np.cumsum([len(c) for c in chords])[:-1])
        kept = [_without(k, part) for k, part in zip(kept, parts, strict=True)]
        if not removable.any():
            break
    return [Ring(points=ring.points, kept=k) for ring, k in zip(rings, kept, strict=True)]


def _alternate_chords(kept: NDArray[np.intp], size: int, start: int) -> NDArray[np.intp]:
    """Chords over every second kept vertex: (m, 4) index of both ends in the ring, ring size, ring start."""
    count = len(kept)
    if count < 2 * MIN_POINTS:
        return np.empty((0, 4), dtype=np.intp)
    tried = np.arange(1, count - (count % 2), 2)
    chords = np.empty((len(tried), 4), dtype=np.intp)
    chords[:, 0] = kept[tried - 1]
    chords[:, 1] = kept[(tried + 1) % count]
    chords[:, 2], chords[:, 3] = size, start
    return chords


def _without(kept: NDArray[np.intp], removable: NDArray[np.bool_]) -> NDArray[np.intp]:
    stays = np.ones(len(kept), dtype=bool)
    stays[1 : 1 + 2 * len(removable) : 2] = ~removable
    return kept[stays]


def _respects_gates(
    points: NDArray[np.float64], chords: NDArray[np.intp], spacing: NDArray[np.float64], tolerance_mm: float
) -> NDArray[np.bool_]:
    """Whether each chord passes in order, and closely, through the gates of all vertices it replaces."""
    first, last, size, start = chords.T
    spans = (last - first) % size - 1
    owner = np.repeat(np.arange(len(chords)), spans)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(spans) - spans, spans)
    between = points[start[owner] + (first[owner] + 1 + place) % size[owner]]
    begin, end = points[start + first][owner], points[start + last][owner]
    line = end - begin
    along_x = between[:, 1] == np.rint(between[:, 1])
    fixed = np.where(along_x, 1, 0)
    row = np.arange(len(owner))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (between[row, fixed] - begin[row, fixed]) / line[row, fixed]
        crossing = begin[row, 1 - fixed] + share * line[row, 1 - fixed]
    low = np.floor(between[row, 1 - fixed])
    offset, line_mm = (between - begin) * spacing, line * spacing
    twice_area = np.abs(offset[:, 0] * line_mm[:, 1] - offset[:, 1] * line_mm[:, 0])
    good = (crossing >= low + CLEARANCE_PX) & (crossing <= low + 1 - CLEARANCE_PX)
    good &= (share >= 0) & (share <= 1)
    good &= twice_area <= tolerance_mm * np.hypot(line_mm[:, 0], line_mm[:, 1])
    good[1:] &= (share[1:] >= share[:-1]) | (owner[1:] != owner[:-1])
    return np.asarray(np.bincount(owner, weights=~good, minlength=len(chords)) == 0)
