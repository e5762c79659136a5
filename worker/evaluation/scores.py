"""What an evaluation knows about one case: plain records that go to disk as they are."""

from __future__ import annotations

from dataclasses import dataclass

from worker.finding import Finding
from worker.guideline import Check


@dataclass(frozen=True, kw_only=True)
class Score:
    """One structure of one case against its truth. A structure that was not found has DSC 0 and quality 0.

    Definitions: `models/evaluation/metrics.py:agreement`, `models/evaluation/band_coverage.py:BandCoverage`. Where
    there is no value (distances to nothing, the width of a band without a lower bound) it is None.
    """

    case: str
    structure: str
    bounds: str  # "paper" or "calibrated": the mode of lower and upper
    found: bool
    dsc: float
    asd_mm: float | None
    hd95_mm: float | None
    surface_dsc_2mm: float
    surface_dsc_3mm: float
    apl_mm: float
    volume_cc: float
    truth_cc: float
    lower_in_mean: bool
    mean_in_upper: bool
    outside: float  # share of the true surface outside the band; the next three: by thirds of its height
    outside_inferior: float | None
    outside_middle: float | None
    outside_superior: float | None
    beyond_upper: float
    within_lower: float
    band_mm: float | None
    band_inferior_mm: float | None
    band_middle_mm: float | None
    band_superior_mm: float | None
    quality: float
    quality_validated: bool
    predicted_dsc: float | None  # from quality, by the bundle's calibration record
    predicted_low: float | None
    predicted_high: float | None


@dataclass(frozen=True, kw_only=True)
class ObserverScore:
    """The CTV of one case among its observers; DSC are means over pairs, `outside` one share per observer."""

    observers: int
    bounds: str
    among: float
    with_mean: float
    model: float
    model_with_mean: float
    outside: tuple[float, ...]  # share of each observer's surface outside the band
    energy_distance: float | None  # of the sampled contours; None where none were drawn
    energy_distance_of_mean: float  # of the mean contour alone


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """One case, contoured once; `bounds` is "mixed" where only some structures have calibrated ones.

    `scores` has a row for each structure that the truth has; `untrue` names structures that were contoured although
    the truth has none (a penile bulb in a woman).
    """

    case: str
    state: str
    reason: str | None
    bounds: str
    findings: tuple[Finding, ...]
    seconds: float
    scores: tuple[Score, ...]
    untrue: tuple[str, ...] = ()
    observers: ObserverScore | None = None
    guideline: tuple[Check, ...] = ()
    guideline_of_truth: tuple[Check, ...] = ()
