"""Compare the result of one case with its truth, both from the written RTSTRUCTs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.evaluation.band_coverage import BandCoverage, band_coverage, surface_outside
from models.evaluation.metrics import agreement
from models.evaluation.observers import generalised_energy_distance, observer_agreement
from models.structures import STRUCTURES
from worker.evaluation.scores import CaseScore, ObserverScore, Score
from worker.evaluation.written import WrittenContours, box_around
from worker.finding import Finding
from worker.guideline import Check, check_guideline
from worker.pelvic_block import PelvicBlock
from worker.roi_naming import DEFAULT_NAMING
from worker.series import CTSeries, read_even_series

RESULT, RTSTRUCT, TRUTH = "result.json", "rtstruct.dcm", "truth.dcm"
OBSERVER = "CTVsb_obs"  # and a number: one observer's CTV in `truth.dcm`
LEAST_OBSERVERS = 2

Document = Mapping[str, Any]


def score_case(case: Path, result: Path) -> CaseScore:
    """Score the result folder of one case (`ct/`, `truth.dcm`)."""
    document = json.loads((result / RESULT).read_text())
    series = read_even_series(case / "ct")
    comparison = Comparison(
        case=case.name,
        bounds=_mode(document),
        series=series,
        truth=WrittenContours.read(case / TRUTH, series),
        written=WrittenContours.read(result / RTSTRUCT, series),
    )
    found = {s["name"]: s for s in document["structures"]}
    present = [row.name for row in STRUCTURES if comparison.truth.has(truth_name(row.name))]
    return CaseScore(
        case=case.name,
        state=document["state"],
        reason=document["reason"]["code"] if document["reason"] else None,
        bounds=comparison.bounds,
        findings=tuple(Finding(**finding) for finding in document["findings"]),
        seconds=round(sum(document["seconds"].values()), 2),
        scores=tuple(comparison.score(name, found.get(name)) for name in present),
        untrue=tuple(name for name in found if name not in present),
        observers=comparison.observers(found.get("CTV")),
        guideline=_guideline(
            comparison.written, series, {n: s["roi_names"]["mean"] for n, s in found.items()}
        ),
        guideline_of_truth=_guideline(comparison.truth, series, {n: truth_name(n) for n in present}),
    )


def _guideline(contours: WrittenContours, series: CTSeries, names: Mapping[str, str]) -> tuple[Check, ...]:
    """The eight checks of the CTV among the organs of the same RTSTRUCT; none without a CTV."""
    if not contours.has(names.get("CTV")):
        return ()
    whole = tuple(slice(0, n) for n in series.hu.shape)
    masks = {name: contours.on((whole[0], whole[1], whole[2]), roi) for name, roi in names.items()}
    return check_guideline(PelvicBlock.cut(series.hu, series.grid, masks))


def truth_name(structure: str) -> str:
    """The ROI name of a structure in `truth.dcm`: as we write it, without what says that a machine drew it."""
    return DEFAULT_NAMING.style(structure).name


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One written result beside its truth."""

    case: str
    bounds: str
    series: CTSeries
    truth: WrittenContours
    written: WrittenContours

    def score(self, name: str, s: Document | None) -> Score:
        """One structure that the truth has; `s` is its entry in `result.json`, None when it was not found."""
        rois = s["roi_names"] if s else {}
        true_name = truth_name(name)
        box = box_around([(self.truth, true_name), *((self.written, roi) for roi in rois.values())])
        true = self.truth.on(box, true_name)
        lower, mean, upper = (self.written.on(box, rois.get(kind)) for kind in ("lower", "mean", "upper"))
        how_well = agreement(mean, true, self._spacing_zyx)
        voxel_cc = self.series.grid.voxel_mm3 / 1000
        values: dict[str, Any] = {
            **asdict(how_well),
            "asd_mm": _finite(how_well.asd_mm),
            "hd95_mm": _finite(how_well.hd95_mm),
            **_band(band_coverage(lower, upper, true, self._spacing_zyx, head_is_up=self._head_is_up)),
            **_quality(s),
        }
        return Score(
            case=self.case,
            structure=name,
            bounds=_mode(s or {}) or self.bounds,
            found=s is not None,
            volume_cc=float(mean.sum() * voxel_cc),
            truth_cc=float(true.sum() * voxel_cc),
            lower_in_mean=not (lower & ~mean).any(),
            mean_in_upper=not (mean & ~upper).any(),
            **values,
        )

    def observers(self, ctv: Document | None) -> ObserverScore | None:
        """The CTV among the truth's observers; None where there are fewer than two, or no CTV."""
        names = sorted(name for name in self.truth.rasters if name.startswith(OBSERVER))
        names = [name for name in names if self.truth.has(name)]
        if len(names) < LEAST_OBSERVERS or ctv is None:
            return None
        rois, mean_observer = ctv["roi_names"], truth_name("CTV")
        box = box_around(
            [
                *((self.truth, name) for name in (*names, mean_observer)),
                *((self.written, roi) for roi in rois.values()),
            ]
        )
        each = [self.truth.on(box, name) for name in names]
        lower, mean, upper = (self.written.on(box, rois[kind]) for kind in ("lower", "mean", "upper"))
        agree = observer_agreement(mean, self.truth.on(box, mean_observer), each)
        return ObserverScore(
            observers=len(names),
            bounds=_mode(ctv) or self.bounds,
            **asdict(agree),
            outside=tuple(surface_outside(lower, upper, observer, self._spacing_zyx) for observer in each),
            energy_distance=None,
            energy_distance_of_mean=generalised_energy_distance([mean], each),
        )

    @property
    def _spacing_zyx(self) -> tuple[float, float, float]:
        x, y, z = self.series.grid.spacing_mm
        return z, y, x

    @property
    def _head_is_up(self) -> bool:
        """Whether the slices' index rises towards the head."""
        return self.series.grid.direction[8] > 0


def _band(band: BandCoverage) -> dict[str, Any]:
    inferior, middle, superior = (_finite(share) for share in band.outside_thirds)
    widths = [_finite(width) for width in band.width_thirds_mm]
    return {
        "outside": band.outside,
        "outside_inferior": inferior,
        "outside_middle": middle,
        "outside_superior": superior,
        "beyond_upper": band.beyond_upper,
        "within_lower": band.within_lower,
        "band_mm": _finite(band.width_mm),
        "band_inferior_mm": widths[0],
        "band_middle_mm": widths[1],
        "band_superior_mm": widths[2],
    }


def _quality(s: Document | None) -> dict[str, Any]:
    """Quality, and the DSC that the bundle's calibration record predicts from it, where there is one."""
    predicted = (s.get("predicted_dsc") if s else None) or {}
    return {
        "quality": s["quality"] if s else 0.0,
        "quality_validated": bool(s and s["quality_validated"]),
        "predicted_dsc": predicted.get("value"),
        "predicted_low": predicted.get("low"),
        "predicted_high": predicted.get("high"),
    }


def _mode(document: Document) -> str:
    """The mode of the bounds as one word, of a whole result or of one structure; "" where it is not said."""
    return str(document.get("bounds") or "").partition(" ")[0]


def _finite(value: float) -> float | None:
    """JSON and CSV know no infinity."""
    return round(value, 4) if math.isfinite(value) else None
