"""What is wrong with a closed polygon: loops, lines, and keyholes whose channel does not lead back the same way."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

CROSSING_MM: Final = 0.01  # shallower crossings come from rounding
SAME_MM: Final = 0.001  # 3D Slicer undoes a keyhole only if the channel's walls are this close
CHANNEL_MM: Final = 0.05
_LEAST_CHANNEL_MM: Final = 0.5
_APART: Final = 3
MAX_POINTS: Final = 5000  # no planning system reads more in a contour; the checks grow with the square
_MAX_PAIRS: Final = 20_000


def crosses_itself(points: NDArray[np.float64]) -> bool:
    """Whether edges of a closed polygon (n, 2) in mm truly cross; touching, as a keyhole's channel does, is none.

    Contours of more than `MAX_POINTS` are not looked at.
    """
    if len(points) > MAX_POINTS:
        return False
    begin, end = points, np.roll(points, -1, axis=0)
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    for first in range(0, len(points), 256):
        rows = slice(first, first + 256)
        near = (low[rows, None] <= high[None]).all(axis=2) & (low[None] <= high[rows, None]).all(axis=2)
        one, other = np.nonzero(near)
        one += first
        keep = one < other
        if _cross(begin[one[keep]], end[one[keep]], begin[other[keep]], end[other[keep]]).any():
            return True
    return False


def has_loose_keyhole(points: NDArray[np.float64]) -> bool:
    """Whether an edge of a polygon (n, 2) in mm runs back beside another, not over it, as a bad channel does."""
    if len(points) > MAX_POINTS:
        return False
    pairs = cKDTree(points).query_pairs(CHANNEL_MM, output_type="ndarray")
    n = len(points)
    pairs = pairs[np.minimum(pairs[:, 1] - pairs[:, 0], n - pairs[:, 1] + pairs[:, 0]) > _APART]
    if not 0 < len(pairs) <= _MAX_PAIRS:
        return False
    matched = {(int(i), int(j)) for i, j in pairs}
    return any(_is_loose(points, pair, step, matched) for pair in matched for step in (1, -1))


def _is_loose(
    points: NDArray[np.float64], pair: tuple[int, int], step: int, matched: set[tuple[int, int]]
) -> bool:
    """Whether the edges from one and to the other of a pair, side by side at both ends, are walls apart."""
    i, j = pair
    other_i, other_j = (i + step) % len(points), (j - step) % len(points)
    if (min(other_i, other_j), max(other_i, other_j)) not in matched:
        return False
    if np.linalg.norm(points[other_i] - points[i]) < _LEAST_CHANNEL_MM:
        return False
    walls = np.linalg.norm(points[[i, other_i]] - points[[j, other_j]], axis=1)
    return bool(walls.max() > SAME_MM)


def _cross(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether the segments a-b and c-d (n, 2) cross, each end farther than `CROSSING_MM` from the other's line."""
    sides = [_above(a, b, c), _above(a, b, d), _above(c, d, a), _above(c, d, b)]
    deep = np.min(np.abs(sides), axis=0) > CROSSING_MM
    return np.asarray(deep & (sides[0] * sides[1] < 0) & (sides[2] * sides[3] < 0))


def _above(a: NDArray[np.float64], b: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance of points p from the lines through a and b, all (n, 2)."""
    along, to = b - a, p - a
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-12)
    return np.asarray((along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]) / length)
