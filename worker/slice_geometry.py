"""Slices in any order to a stack that is proved to be one grid without a missing slice.

Distances between slices may vary, for some protocols change them within a series. Where does that end, and where
does a missing slice begin?

- Evenly spaced: no slice lies further than a fifth of the usual distance from where even spacing would put it.
  Such a series is one regular grid; positions rounded by the scanner stay within this.
- A missing slice: a step that does not belong to four or more consecutive steps of its size, that is of at least
  two thirds of it. So 4 mm and then 7 mm is a protocol if four steps or more are 7 mm, while one, two or three steps
  of 6 mm among 3 mm are slices that did not arrive. In 2, 4, 2, 4 mm every third slice is missing.
- Every second slice missing: four or more steps of a whole multiple of the steps on both sides of them pass the rule
  above, and are refused all the same: no protocol spaces slices that way. At an end of the series it cannot be told
  from a protocol and is taken for one.
- Everything else is unevenly spaced: supported, with a finding that says where and how far apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import DuplicatePosition, MissingSlices, MixedSeries, TiltedSlices
from worker.finding import Finding
from worker.grid import Grid

SAME_POSITION_MM: Final = 0.02
GAP_STEPS: Final = 1.5
NEAR_STEPS: Final = 5
RUN_STEPS: Final = 4
MULTIPLE_TOLERANCE: Final = 0.05
UNEVEN_STEPS: Final = 0.2
UNEVEN_NOTED_MM: Final = 0.05
SAME_PLACE_MM: Final = 0.01  # how far a pixel may lie from where the first slice's axes and spacing put it
TO_SORT_MM: Final = 1.0  # the same before sorting, which needs no more
MAX_ANGLE: Final = np.deg2rad(0.5)
MAX_SHIFT_MM: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class SlicePlane:
    """Where one slice lies.

    Attributes:
        label: how a message names the instance.
        position_mm: Image Position (Patient), the centre of the first pixel (3,).
        orientation: Image Orientation (Patient): direction of a row, then of a column (6,).
        spacing_mm: Pixel Spacing: between rows, then between columns (PS3.3 10.7.1.3).
        shape: rows, columns.
    """

    label: str
    position_mm: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector of rising slice position."""
        return np.cross(self.orientation[:3], self.orientation[3:])


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The order of the slices along their normal, the grid they form, and lesser doubts."""

    order: tuple[int, ...]
    grid: Grid
    findings: tuple[Finding, ...]


def stack_slices(planes: Sequence[SlicePlane], frame_of_reference_uid: str) -> Stack:
    """Sort the slices along their normal and prove that they form one transverse grid without a gap.

    The grid is uneven only where even spacing would put a slice elsewhere (see the top of this file).

    Raises:
        MixedSeries: slices of several sizes, pixel spacings or orientations.
        TiltedSlices: the planes are oblique, or do not stack at right angles.
        DuplicatePosition, MissingSlices: as they say.
    """
    _check_alike(planes, within_mm=TO_SORT_MM)
    normal = planes[0].normal
    heights = np.array([plane.position_mm @ normal for plane in planes])
    order = np.argsort(heights, kind="stable")
    ordered = [planes[i] for i in order]
    _check_alike(ordered, within_mm=SAME_PLACE_MM)
    for plane in ordered:
        _check_transverse(plane)
    _check_duplicates(ordered, heights[order])
    _check_straight(ordered, normal)
    _check_gaps(ordered, heights[order])
    _check_thinned_out(ordered, heights[order])
    step = _mean_step(heights[order])
    first = ordered[0]
    rows, columns = first.shape
    row, column = first.orientation[:3], first.orientation[3:]
    grid = Grid(
        size_xyz=(columns, rows, len(planes)),
        spacing_mm=(first.spacing_mm[1], first.spacing_mm[0], step),
        origin_mm=(float(first.position_mm[0]), float(first.position_mm[1]), float(first.position_mm[2])),
        direction=tuple(float(c) for c in np.stack([row, column, normal], axis=1).ravel()),
        frame_of_reference_uid=frame_of_reference_uid,
        slice_offsets_mm=_uneven_offsets(heights[order]),
    )
    return Stack(
        order=tuple(int(i) for i in order), grid=grid, findings=tuple(_doubts(ordered, heights[order]))
    )


def _check_alike(planes: Sequence[SlicePlane], *, within_mm: float) -> None:
    """The first slice's axes and pixel spacing must hold for all, for contours are drawn with them."""
    first = planes[0]
    edges = _edges_mm(first)
    for plane in planes[1:]:
        off_mm = float(np.linalg.norm(_edges_mm(plane) - edges, axis=1).sum())  # at most, at the far corner
        if plane.shape != first.shape or off_mm > within_mm:
            raise MixedSeries(
                f"Instances {first.label} and {plane.label} differ in size, pixel spacing or orientation, "
                "so they are not slices of one volume."
            )


def _edges_mm(plane: SlicePlane) -> NDArray[np.float64]:
    """From the first pixel's centre to that of the last in its row, and of the last in its column (2, 3), mm."""
    (rows, columns), (between_rows, between_columns) = plane.shape, plane.spacing_mm
    lengths = np.array([(columns - 1) * between_columns, (rows - 1) * between_rows])
    return np.asarray(plane.orientation.reshape(2, 3) * lengths[:, None])


def _check_transverse(plane: SlicePlane) -> None:
    axes = np.stack([plane.orientation[:3], plane.orientation[3:], plane.normal])
    angles = np.arccos(np.clip(np.abs(axes).max(axis=1), 0, 1))
    orthogonal = abs(float(axes[0] @ axes[1])) < np.sin(MAX_ANGLE)
    if not orthogonal or angles.max() > MAX_ANGLE or abs(plane.normal[2]) < np.cos(MAX_ANGLE):
        raise TiltedSlices(
            f"The slices are not transverse: instance {plane.label} has the normal "
            f"({', '.join(f'{c:.3f}' for c in plane.normal)}) and rows along "
            f"({', '.join(f'{c:.3f}' for c in plane.orientation[:3])})."
        )


def _check_duplicates(ordered: Sequence[SlicePlane], heights: NDArray[np.float64]) -> None:
    for i in np.flatnonzero(np.diff(heights) < SAME_POSITION_MM)[:1]:
        raise DuplicatePosition(
            f"Instances {ordered[i].label} and {ordered[i + 1].label} lie at the same position, "
            f"z = {ordered[i].position_mm[2]:.1f} mm."
        )


def _check_straight(ordered: Sequence[SlicePlane], normal: NDArray[np.float64]) -> None:
    """The first pixels of all slices must lie on one line along the normal."""
    offsets = np.array([plane.position_mm - ordered[0].position_mm for plane in ordered])
    sideways = np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1)
    along = max(float(offsets[-1] @ normal), SAME_POSITION_MM)
    if sideways[-1] > np.tan(MAX_ANGLE) * along or sideways.max() > MAX_SHIFT_MM:
        raise TiltedSlices(
            f"The slices are shifted sideways by up to {sideways.max():.1f} mm over {along:.0f} mm, "
            f"as with a tilted gantry: see instance {ordered[int(sideways.argmax())].label}."
        )


def _check_gaps(ordered: Sequence[SlicePlane], heights: NDArray[np.float64]) -> None:
    steps = np.diff(heights)
    for i in np.flatnonzero(steps > GAP_STEPS * steps.min(initial=np.inf)).tolist():
        if _run_length(steps, i) < min(RUN_STEPS, len(steps)):
            usual = np.median(
                np.concatenate([steps[max(0, i - NEAR_STEPS) : i], steps[i + 1 : i + 1 + NEAR_STEPS]])
            )
            raise MissingSlices(
                f"A gap of {steps[i]:.1f} mm, where slices are {usual:.1f} mm apart, follows instance "
                f"{ordered[i].label} at z = {ordered[i].position_mm[2]:.1f} mm."
            )


def _run_length(steps: NDArray[np.float64], i: int) -> int:
    """How many consecutive steps around a step, it included, are about as large or larger."""
    smaller = np.flatnonzero(steps < steps[i] / GAP_STEPS)
    before, after = smaller[smaller < i], smaller[smaller > i]
    first = int(before[-1]) + 1 if len(before) else 0
    stop = int(after[0]) if len(after) else len(steps)
    return stop - first


def _check_thinned_out(ordered: Sequence[SlicePlane], heights: NDArray[np.float64]) -> None:
    """Refuse a run of steps that are the same whole multiple of the steps on both sides of it."""
    steps = np.diff(heights)
    changes = np.flatnonzero(np.abs(np.diff(steps)) > UNEVEN_STEPS * np.minimum(steps[1:], steps[:-1])) + 1
    runs = np.split(steps, changes)
    for n, (before, run, after) in enumerate(zip(runs, runs[1:], runs[2:], strict=False)):
        usual = float(np.median(before))
        multiple = float(np.median(run)) / usual
        if abs(float(np.median(after)) - usual) > MULTIPLE_TOLERANCE * usual or round(multiple) < 2:
            continue
        if abs(multiple - round(multiple)) <= MULTIPLE_TOLERANCE:
            i = int(changes[n])
            raise MissingSlices(
                f"Slices are {np.median(run):.1f} mm apart from instance {ordered[i].label} at z = "
                f"{ordered[i].position_mm[2]:.1f} mm on, {round(multiple)} times the {usual:.1f} mm on both sides: "
                "slices seem to be missing there."
            )


def _uneven_offsets(heights: NDArray[np.float64]) -> tuple[float, ...] | None:
    """Distance of each slice from the first, where an even grid would be off; else None."""
    if len(heights) < 3:
        return None
    drift = np.abs(heights - heights[0] - np.arange(len(heights)) * _mean_step(heights))
    if drift.max() <= UNEVEN_STEPS * float(np.median(np.diff(heights))):
        return None
    return tuple(float(h) for h in heights - heights[0])


def _mean_step(heights: NDArray[np.float64]) -> float:
    """Height over number of steps: positions are often rounded to 0.1 mm, which the median would add up."""
    return float((heights[-1] - heights[0]) / (len(heights) - 1)) if len(heights) > 1 else 1.0


def _doubts(ordered: Sequence[SlicePlane], heights: NDArray[np.float64]) -> Iterator[Finding]:
    steps = np.diff(heights)
    if len(steps) and np.ptp(steps) > UNEVEN_NOTED_MM:
        i = int(np.abs(np.diff(steps)).argmax()) + 1
        yield Finding(
            code="uneven-spacing",
            message=f"The distance between slices varies from {steps.min():.2f} to {steps.max():.2f} mm; it changes "
            f"most, from {steps[i - 1]:.2f} to {steps[i]:.2f} mm, at z = {ordered[i].position_mm[2]:.1f} mm.",
        )
