"""Where the images lie that an RTSTRUCT was drawn on: any body part, any plane, any number of slices.

Only headers are read, and nothing is refused that has a position; `worker/series.py` is stricter, for it reads what is
to be contoured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from worker.errors import NoDicom
from worker.grid import extents_of
from worker.instance_files import is_dicom
from worker.series import CTSeries
from worker.unchecked_values import DAMAGED, bytes_of, numbers_of, text_of, transfer_syntax

SAME_HEIGHT_MM: Final = 0.01
MOST_MM: Final = 1e7
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
    """

    uids: dict[str, str]
    identity: dict[str, bytes]
    position_mm: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

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
    """The images of one series, in the order of their positions along the first one's normal.

    Attributes:
        planes: at least one.
        unreadable: files among them that could not be read, or have no position.
    """

    planes: tuple[ImagePlane, ...]
    unreadable: int = 0

    @cached_property
    def index_of(self) -> dict[str, int]:
        """SOP Instance UID to place in `planes`."""
        return {plane.uid: index for index, plane in enumerate(self.planes)}

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

    def heights_of(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far points (n, 3) lie above each plane, mm (planes, n)."""
        return np.asarray(self._normals @ points_mm.T - self._offsets[:, None])

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
    """
    series: dict[str, dict[str, ImagePlane]] = {}
    unreadable = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        header = _header(path)
        if header is None:
            continue
        plane = _plane(header)
        if plane is None:
            unreadable += "Rows" in header or not len(header)
            continue
        series.setdefault(plane.uids["SeriesInstanceUID"], {}).setdefault(plane.uid, plane)
    if not series:
        raise NoDicom(
            "The folder holds no image with a position.",
            remedy="Give the folder of the CT that the RTSTRUCT was drawn on.",
        )
    return {
        uid: ImageStack(planes=_ordered(list(p.values())), unreadable=unreadable) for uid, p in series.items()
    }


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


def _header(path: Path) -> Dataset | None:
    """Everything before the pixels; empty if damaged or deflated, None for what is no DICOM."""
    try:
        if not is_dicom(path):
            return None
        if transfer_syntax(path) == DeflatedExplicitVRLittleEndian:
            return Dataset()  # a few kilobytes may become gigabytes
        return dcmread(path, stop_before_pixels=True, force=True)
    except DAMAGED:
        return Dataset()


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
    )


def _numbers(header: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """As `numbers_of`, of a size that a patient or an image can have."""
    numbers = numbers_of(header, keyword, count)
    return numbers if numbers is not None and np.abs(numbers).max() < MOST_MM else None
