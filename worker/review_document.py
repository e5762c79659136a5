"""`review.json`: everything that people review a result by. Page and report show these figures and no others.

Pixel coordinates are (x, y) = (column, row) of a slice, fractions allowed: (0, 0) is the *centre* of the slice's first
pixel, whose corners lie half a pixel away, so that a slice covers x from -0.5 to columns - 0.5. Millimetres are the
patient's (LPS, PS3.3 C.7.6.2.1.1): x rises to the left, y to the back, z to the head. Slices are counted from 0 in the
order of `CTSeries.hu`.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from worker.job_folder import REVIEW_NAME, write_atomically

Bound = Literal["mean", "lower", "upper"]
Part = Literal["inferior", "middle", "superior"]
PlaceCode = Literal["inferior-end", "superior-end", "interface", "border", "no-lower-bound"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReviewGrid(_Frozen):
    """Where the pixels lie.

    Attributes:
        size_xyz: columns, rows, slices.
        spacing_mm: between pixel centres along x and y, and the mean distance of slices.
        direction: 3 x 3, row-major; its columns are the directions of x, y and z in LPS.
        slice_positions_mm: LPS of each slice's first pixel's centre.
        slice_offsets_mm: distance of each slice from the first along the slices' normal.
        upright_axes: which array axis (0 slices, 1 rows, 2 columns) runs to the head, to the back, to the left.
        upright_flipped: whether each of these runs the other way. Turned so, the patient's left is on the right.
    """

    size_xyz: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    direction: tuple[float, ...]
    slice_positions_mm: list[tuple[float, float, float]]
    slice_offsets_mm: list[float]
    upright_axes: tuple[int, int, int]
    upright_flipped: tuple[bool, bool, bool]


class ReviewRing(_Frozen):
    """One closed line.

    Attributes:
        slice_index: its slice.
        points_px: x, y, x, y, ...; the first point is not repeated. A hole is a ring within a ring.
        width_mm: of the upper bound, the band's width at each point; None otherwise.
    """

    slice_index: int
    points_px: list[float]
    width_mm: list[float] | None = None


class ReviewThird(_Frozen):
    """The band's width in a third of a structure's height, from `from_z_mm` up to `to_z_mm`."""

    part: Part
    from_z_mm: float
    to_z_mm: float
    mean_mm: float | None
    p95_mm: float | None


class ReviewPrediction(_Frozen):
    """True DSC as calibration predicts it from quality, with its 90 % interval."""

    value: float
    low: float
    high: float


class ReviewBand(_Frozen):
    """The band's width over a whole structure; None where there is no lower bound."""

    mean_mm: float | None
    p95_mm: float | None


class ReviewStructure(_Frozen):
    """One structure.

    Attributes:
        name: TG-263.
        words: its name in a sentence, such as "left femoral head".
        colour: red, green, blue, 0 to 255.
        percent: of the reference surface that calibrated bounds hold on average; None for the paper's.
        band_by_slice_mm: one entry per slice of the CT, the 90th percentile of the band's width there.
        round_trip: DSC of what was written and read back, by bound.
        contours: rings by bound.
    """

    name: str
    words: str
    kind: Literal["target", "organ"]
    colour: tuple[int, int, int]
    volume_cc: float
    lower_volume_cc: float
    upper_volume_cc: float
    quality: float
    quality_validated: bool
    predicted_dsc: ReviewPrediction | None
    bounds: Literal["paper", "calibrated"]
    percent: int | None
    band: ReviewBand
    thirds: list[ReviewThird]
    band_by_slice_mm: list[float | None]
    round_trip: dict[Bound, float]
    contours: dict[Bound, list[ReviewRing]]


class ReviewPlace(_Frozen):
    """A place where an edit is likely. The list is ranked, the likeliest first.

    Attributes:
        key: stays the same for the same kind of place; fit to remember that it was looked at.
        reason: in words, such as "inferior end: band 14 mm".
        neighbour: the other structure of an interface.
        point_px: where to look on the slice.
        band_mm: how wide the band is there; None where there is no lower bound.
    """

    key: str
    structure: str
    code: PlaceCode
    reason: str
    neighbour: str | None
    slice_index: int
    sop_instance_uid: str
    point_px: tuple[float, float]
    point_mm: tuple[float, float, float]
    band_mm: float | None


class ReviewCheck(_Frozen):
    """One check of the CTV against the guideline (`worker/guideline.py`)."""

    code: str
    title: str
    verdict: Literal["pass", "warn", "not assessable"]
    message: str


class ReviewFinding(_Frozen):
    """What was noticed on the way."""

    code: str
    message: str


class ReviewBundle(_Frozen):
    """What made the contours."""

    name: str
    version: str
    sha256: str
    intended_use: str


class Review(_Frozen):
    """The whole document."""

    format: Literal[1] = 1
    series_instance_uid: str
    study_instance_uid: str
    software_version: str
    bundle: ReviewBundle
    not_for_clinical_use: bool
    bounds: str
    passes: int
    seed: int
    device: str
    grid: ReviewGrid
    structures: list[ReviewStructure]
    look_here: list[ReviewPlace]
    guideline: list[ReviewCheck]
    findings: list[ReviewFinding]


def write_review(review: Review, folder: Path) -> None:
    """Write `review.json` into a result folder, whole or not at all."""
    write_atomically(folder / REVIEW_NAME, review.model_dump_json().encode())


def read_review(folder: Path) -> Review:
    """The review of a result folder; raises `FileNotFoundError` for results of before there were any."""
    return Review.model_validate_json((folder / REVIEW_NAME).read_bytes())
