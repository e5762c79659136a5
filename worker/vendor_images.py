"""Where the images lie that an RTSTRUCT was drawn on: any body part, any plane, any number of slices.

Only headers are read, and nothing is refused that has a position; `worker/series.py` is stricter, for it reads what is
to be contoured.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.errors import NoDicom, NotCT
from worker.grid import extents_of
from worker.series import CTSeries
from worker.unchecked_values import bytes_of, numbers_of, text_of
from worker.vendor_headers import has_frames, image_headers, is_localizer, kind_of

SAME_HEIGHT_MM: Final = 0.01
SAME_PLANE_DEGREES: Final = 1.0  # writers round direction cosines; other planes differ by far more
MOST_MM: Final = 1e7
_MOST_HEIGHTS: Final = 1_000_000  # planes times points at a time: 8 MB
IDENTITY: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "SpecificCharacterSet",
)
_UIDS: Final = (
    "SOPInstanceUID",
    "SOPClassUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
)


@dataclass(frozen=True, kw_only=True)
class ImagePlane:
    """One image (PS3.3 C.7.6.2).

    Attributes:
        uids: its UIDs by keyword; one that is absent is empty.
        identity: who the patient is, undecoded; never to be shown.
        position_mm: centre of the first pixel (3,), LPS.
        axes: columns are the direction of a row, of a column, and the normal (3, 3).
        spacing_mm: between columns, between rows.
        shape: rows, columns.
        localizer: whether it is marked as a localiser (scout view).
    """

    uids: dict[str, str]
    identity: dict[str, bytes]
    position_mm: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]
    localizer: bool = False

    @property
    def uid(self) -> str:
        """SOP Instance UID."""
        return self.uids["SOPInstanceUID"]

    def project(self, points_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (n, 3) LPS mm as pixel indices (n, 2) column, row; and how far above the plane they lie, mm (n,)."""
        local = (points_mm - self.position_mm) @ self.axes
        return local[:, :2] / np.asarray(self.spacing_mm), local[:, 2]


@dataclass(frozen=True, kw_only=True)
class ImageStack:
    """The parallel images of one series, in the order of their positions along the first one's normal.

    Attributes:
        planes: at least one.
        left_out: images of the series that are no slices: localisers, and the few whose planes are others.
        unreadable: files of the folder that could not be read, have no position, or hold several frames: their
            places among all files, in the order of their names.
    """

    planes: tuple[ImagePlane, ...]
    left_out: tuple[ImagePlane, ...] = ()
    unreadable: tuple[str, ...] = ()

    @cached_property
    def index_of(self) -> dict[str, int]:
        """SOP Instance UID to place in `planes`."""
        return {plane.uid: index for index, plane in enumerate(self.planes)}

    @cached_property
    def sop_classes(self) -> dict[str, str]:
        """SOP Instance UID of every image, those left out included, to its SOP Class UID, empty if it has none."""
        return {plane.uid: plane.uids["SOPClassUID"] for plane in (*self.planes, *self.left_out)}

    @cached_property
    def thickness_mm(self) -> NDArray[np.float64]:
        """Half the way to the neighbours on either side (n,); at the ends the one neighbour counts twice."""
        levels, of_plane = _levels(self._heights)
        if len(levels) == 1:
            return np.ones(len(self.planes))
        return np.asarray(extents_of(levels)[of_plane])

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """A volume that all planes fit into."""
        rows, columns = np.max([plane.shape for plane in self.planes], axis=0)
        return len(self.planes), int(rows), int(columns)

    def farthest_from(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far the farthest of points (n, 3) lies from each plane, mm (planes,); some points at a time."""
        farthest = np.zeros(len(self.planes))
        step = max(1, _MOST_HEIGHTS // len(self.planes))
        for first in range(0, len(points_mm), step):
            heights = self._normals @ points_mm[first : first + step].T - self._offsets[:, None]
            np.maximum(farthest, np.abs(heights).max(axis=1), out=farthest)
        return farthest

    @cached_property
    def _normals(self) -> NDArray[np.float64]:
        return np.array([plane.axes[:, 2] for plane in self.planes])

    @cached_property
    def _offsets(self) -> NDArray[np.float64]:
        return np.array([plane.position_mm @ plane.axes[:, 2] for plane in self.planes])

    @cached_property
    def _heights(self) -> NDArray[np.float64]:
        return np.array([plane.position_mm @ self.planes[0].axes[:, 2] for plane in self.planes])


def stack_of(series: CTSeries) -> ImageStack:
    """The slices of a CT series that has been read."""
    axes = np.asarray(series.grid.direction).reshape(3, 3)
    columns, rows, _ = series.grid.size_xyz
    shared = {
        "SOPClassUID": "",
        "SeriesInstanceUID": series.series_instance_uid,
        "StudyInstanceUID": series.study_instance_uid,
        "FrameOfReferenceUID": series.frame_of_reference_uid,
    }
    planes = tuple(
        ImagePlane(
            uids={"SOPInstanceUID": uid, **shared},
            identity={},
            position_mm=position,
            axes=axes,
            spacing_mm=series.grid.spacing_mm[:2],
            shape=(rows, columns),
        )
        for uid, position in zip(series.sop_instance_uids, series.slice_positions_mm, strict=True)
    )
    return ImageStack(planes=planes)


def read_images(folder: Path) -> dict[str, ImageStack]:
    """Every image series below a folder, by Series Instance UID.

    Raises:
        NoDicom: there is no image with a position.
        NotCT: there are images of several frames only.
        DecoderMissing: what inflates did not start.
    """
    series: dict[str, dict[str, ImagePlane]] = {}
    unreadable: list[str] = []
    kinds: set[str] = set()
    for place, header in image_headers(folder):
        plane = None if has_frames(header) else _plane(header)
        if plane is not None:
            series.setdefault(plane.uids["SeriesInstanceUID"], {}).setdefault(plane.uid, plane)
            continue
        unreadable += [place] if "Rows" in header or not len(header) else []
        if has_frames(header):
            kinds.add(kind_of(header))
    if not series:
        raise _no_images(kinds)
    return {uid: _stack(list(planes.values()), tuple(unreadable)) for uid, planes in series.items()}


def _no_images(kinds: Collection[str]) -> NoDicom | NotCT:
    if kinds:
        return NotCT(
            f"The folder holds multi-frame images only ({', '.join(sorted(kinds))}), whose frames are not read.",
            remedy="Export the series with one instance per slice (often called classic or single-frame).",
        )
    return NoDicom(
        "The folder holds no image with a position.",
        remedy="Give the folder of the CT that the RTSTRUCT was drawn on.",
    )


def _stack(planes: Sequence[ImagePlane], unreadable: tuple[str, ...]) -> ImageStack:
    """The slices of a series, without its localisers, unless it has nothing else."""
    slices = _parallel([plane for plane in planes if not plane.localizer] or planes)
    kept = {plane.uid for plane in slices}
    return ImageStack(
        planes=_ordered(slices),
        left_out=tuple(plane for plane in planes if plane.uid not in kept),
        unreadable=unreadable,
    )


def _parallel(planes: Sequence[ImagePlane]) -> list[ImagePlane]:
    """The most images that lie in parallel planes; of equally many those that come first."""
    normals = np.array([plane.axes[:, 2] for plane in planes])
    most, rest = np.arange(0), np.arange(len(planes))
    while len(rest) > len(most):
        parallel = np.abs(normals[rest] @ normals[rest[0]]) >= np.cos(np.radians(SAME_PLANE_DEGREES))
        if np.count_nonzero(parallel) > len(most):
            most = rest[parallel]
        rest = rest[~parallel]
    return [planes[int(index)] for index in most]


def _ordered(planes: Sequence[ImagePlane]) -> tuple[ImagePlane, ...]:
    normal = planes[0].axes[:, 2]
    return tuple(sorted(planes, key=lambda plane: float(plane.position_mm @ normal)))


def _levels(heights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distinct heights, rising, and which of them each plane has; planes at one position share one."""
    order = np.argsort(heights, kind="stable")
    first = np.concatenate([[True], np.diff(heights[order]) > SAME_HEIGHT_MM])
    of_plane = np.empty(len(heights), np.intp)
    of_plane[order] = np.cumsum(first) - 1
    return heights[order][first], of_plane


def _plane(header: Dataset) -> ImagePlane | None:
    position = _numbers(header, "ImagePositionPatient", 3)
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    spacing = _numbers(header, "PixelSpacing", 2)
    size = _numbers(header, "Rows", 1), _numbers(header, "Columns", 1)
    uids = {keyword: text_of(header, keyword) for keyword in _UIDS}
    if position is None or orientation is None or spacing is None or size[0] is None or size[1] is None:
        return None
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    length = np.linalg.norm(normal)
    shape = int(size[0][0]), int(size[1][0])
    if (
        length < 0.5
        or spacing.min() <= 0
        or min(shape) < 1
        or max(shape) > 65535
        or not uids["SOPInstanceUID"]
    ):
        return None
    axes = np.stack([row / np.linalg.norm(row), column / np.linalg.norm(column), normal / length], axis=1)
    return ImagePlane(
        uids=uids,
        identity={keyword: bytes_of(header, keyword) or b"" for keyword in IDENTITY},
        position_mm=position,
        axes=axes,
        spacing_mm=(float(spacing[1]), float(spacing[0])),
        shape=shape,
        localizer=is_localizer(header),
    )


def _numbers(header: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """As `numbers_of`, of a size that a patient or an image can have."""
    numbers = numbers_of(header, keyword, count)
    return numbers if numbers is not None and np.abs(numbers).max() < MOST_MM else None
