"""Small pictures of the places to look at: the slice, the structure with its band, and where in it to look."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.report.plane import Box, Plane
from worker.review_document import Review, ReviewPlace, ReviewRing, ReviewStructure
from worker.slice_pack import read_slice

WINDOW_HU: Final = (-160, 240)
LEAST_MM, MOST_MM, MARGIN_MM = 84.0, 170.0, 14.0
PICTURE_PX: Final = 360


@dataclass(frozen=True, kw_only=True)
class Line:
    """A contour of the picture, as the `d` of an SVG path; `band` is what lies between the bounds."""

    colour: str
    is_chosen: bool
    mean: str
    lower: str
    upper: str

    @property
    def band(self) -> str:
        """Upper and lower as one path: filled by the even-odd rule it is the band."""
        return f"{self.upper} {self.lower}"


@dataclass(frozen=True, kw_only=True)
class Look:
    """One picture. Lengths and the box are in mm of the plane (`worker/report/plane.py`)."""

    number: int
    place: ReviewPlace
    colour: str
    slice_number: int
    z_mm: float
    box: Box
    image: str
    image_box: Box
    lines: tuple[Line, ...]
    point: tuple[float, float]


def looks_of(review: Review, slices: Path) -> list[Look]:
    """A picture of each place, in their order.

    Args:
        review: the figures.
        slices: the CT's slices (`worker/slice_pack.py`).
    """
    painter = _Painter(review, Plane.of_grid(review.grid), slices)
    return [painter.look(number, place) for number, place in enumerate(review.look_here, start=1)]


def colour_of(structure: ReviewStructure) -> str:
    """As HTML and SVG write it."""
    return "#{:02x}{:02x}{:02x}".format(*structure.colour)


@dataclass(frozen=True)
class _Painter:
    review: Review
    plane: Plane
    slices: Path

    def look(self, number: int, place: ReviewPlace) -> Look:
        chosen = next(each for each in self.review.structures if each.name == place.structure)
        box = _box(chosen, place, self.plane)
        pixels = self.plane.turned(_pixels(self.slices, place.slice_index))
        image, image_box = _picture(pixels, box, self.plane)
        u, v = self.plane.points_mm(place.point_px)[0]
        return Look(
            number=number,
            place=place,
            colour=colour_of(chosen),
            slice_number=place.slice_index + 1,
            z_mm=self.review.grid.slice_positions_mm[place.slice_index][2],
            box=box,
            image=image,
            image_box=image_box,
            lines=tuple(_lines(self.review, place, self.plane)),
            point=(float(u), float(v)),
        )


def _pixels(slices: Path, index: int) -> NDArray[np.int16]:
    """One slice (row, column), HU."""
    found = read_slice(slices, index)
    if found is None:
        raise ValueError("the review names a slice that there is not")
    pixels = np.frombuffer(gzip.decompress(found.gzipped), "<i2")
    return pixels.astype(np.int16, copy=False).reshape(found.rows, found.columns)


def _box(chosen: ReviewStructure, place: ReviewPlace, plane: Plane) -> Box:
    """A square around the structure and the point, not so small that nobody knows where it is."""
    rings = [r for bound in ("upper", "mean") for r in _on(chosen.contours.get(bound, []), place)]
    points = [plane.points_mm(place.point_px), *(plane.points_mm(ring.points_px) for ring in rings)]
    low, high = np.concatenate(points).min(0), np.concatenate(points).max(0)
    side = float(np.clip((high - low).max() + 2 * MARGIN_MM, LEAST_MM, MOST_MM))
    left, top = (low + high) / 2 - side / 2
    return float(left), float(top), side, side


def _lines(review: Review, place: ReviewPlace, plane: Plane) -> list[Line]:
    """The chosen structure last, on top of its neighbours."""
    ordered = sorted(review.structures, key=lambda each: each.name == place.structure)
    return [
        Line(
            colour=colour_of(each),
            is_chosen=each.name == place.structure,
            **{bound: plane.path(_on(each.contours[bound], place)) for bound in ("mean", "lower", "upper")},
        )
        for each in ordered
    ]


def _on(rings: Sequence[ReviewRing], place: ReviewPlace) -> list[ReviewRing]:
    return [ring for ring in rings if ring.slice_index == place.slice_index]


def _picture(pixels: NDArray[np.int16], box: Box, plane: Plane) -> tuple[str, Box]:
    """The pixels (v, u) that the box touches as a data URI, and where in mm that picture lies."""
    du, dv = plane.spacing_uv_mm
    first = [max(0, int(np.floor(box[n] / d)) - 1) for n, d in enumerate((du, dv))]
    last = [int(np.ceil((box[n] + box[n + 2]) / d)) + 2 for n, d in enumerate((du, dv))]
    cut = pixels[first[1] : last[1], first[0] : last[0]].astype(np.float32)
    low, high = WINDOW_HU
    grey = np.clip((cut - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    rows, columns = grey.shape
    where = ((first[0] - 0.5) * du, (first[1] - 0.5) * dv, columns * du, rows * dv)
    return _data_uri(grey), where


def _data_uri(grey: NDArray[np.uint8]) -> str:
    """As PNG, enlarged smoothly: viewers of PDF show large pixels as squares."""
    scale = PICTURE_PX / max(grey.shape)
    picture = Image.fromarray(grey)
    if scale > 1:
        size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
