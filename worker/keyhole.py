"""An outer ring and its holes to one closed path (PS3.3 C.8.8.6.3).

Planning systems disagree on nested contours but agree on keyholes. The channel to a hole has zero width and
its points occur twice, bit for bit; it never runs along a row of pixel centres.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import ResultImplausible

_ROW_CLEARANCE_PX: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class _Crossing:
    """Where a horizontal line meets edge `edge` (from vertex `edge` to the next) of ring `ring`."""

    x: float
    ring: int
    edge: int


@dataclass(frozen=True, kw_only=True)
class _Channel:
    """A piece of the horizontal line at `row` from ring `near` (already joined) to ring `far` (a hole)."""

    row: float
    near: _Crossing
    far: _Crossing


def cut_keyhole(outer: NDArray[np.float64], holes: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Join a ring with the holes inside it.

    Args:
        outer: (n, 2) column, row in pixels.
        holes: rings (m, 2) inside it that run the other way round.

    Returns:
        One closed path (k, 2) in pixels; its first point is not repeated.
    """
    rings = [outer, *sorted(holes, key=lambda hole: float(hole[:, 0].min()))]
    path = rings[0]
    waiting = list(range(1, len(rings)))
    while waiting:
        hole, channel = _next_channel(path, rings, waiting)
        path = _join(path, rings[hole], channel)
        waiting.remove(hole)
    return path


def _next_channel(
    path: NDArray[np.float64],
    rings: Sequence[NDArray[np.float64]],
    waiting: Sequence[int],
) -> tuple[int, _Channel]:
    """The first hole that sees the path along a row, and the channel between them."""
    for hole in waiting:
        for row in _rows_through(rings[hole]):
            crossings = list(_crossings(path, row, 0))
            for other in waiting:
                crossings += _crossings(rings[other], row, other)
            crossings.sort(key=lambda crossing: crossing.x)
            for left, right in zip(crossings[0::2], crossings[1::2], strict=False):
                if {left.ring, right.ring} == {0, hole}:
                    near, far = (left, right) if left.ring == 0 else (right, left)
                    return hole, _Channel(row=row, near=near, far=far)
    raise ResultImplausible(f"A contour with {len(rings) - 1} holes could not be written as one path.")


def _rows_through(ring: NDArray[np.float64]) -> Iterator[float]:
    """Rows that cross the ring and keep away from pixel centres, those that keep furthest first."""
    low = np.minimum(ring[:, 1], np.roll(ring[:, 1], -1))
    high = np.maximum(ring[:, 1], np.roll(ring[:, 1], -1))
    half = np.floor((low + high) / 2) + 0.5
    centre = np.rint((low + high) / 2)
    candidates = np.concatenate([half, (low + high) / 2, (low + np.clip(centre, low, high)) / 2])
    inside = (candidates > np.tile(low, 3)) & (candidates < np.tile(high, 3))
    rows = np.unique(candidates[inside])
    distance = np.abs(rows - np.rint(rows))
    for i in np.argsort(-distance, kind="stable"):
        if distance[i] > _ROW_CLEARANCE_PX:
            yield float(rows[i])


def _crossings(ring: NDArray[np.float64], row: float, name: int) -> Iterator[_Crossing]:
    """Crossings of the line y = row with a closed path; channels, being parallel to it, are not met."""
    y, y_next = ring[:, 1], np.roll(ring[:, 1], -1)
    edges = np.flatnonzero((y <= row) != (y_next <= row))
    x, x_next = ring[edges, 0], np.roll(ring[:, 0], -1)[edges]
    at = x + (row - y[edges]) / (y_next[edges] - y[edges]) * (x_next - x)
    for edge, x_at in zip(edges, at, strict=True):
        yield _Crossing(x=float(x_at), ring=name, edge=int(edge))


def _join(path: NDArray[np.float64], hole: NDArray[np.float64], channel: _Channel) -> NDArray[np.float64]:
    """Insert a hole into the path: to the channel's near end, across, once around, back across."""
    near = np.array([[channel.near.x, channel.row]])
    far = np.array([[channel.far.x, channel.row]])
    around = np.roll(hole, -(channel.far.edge + 1), axis=0)
    cut = channel.near.edge + 1
    return np.concatenate([path[:cut], near, far, around, far, near, path[cut:]])
