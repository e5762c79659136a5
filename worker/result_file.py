"""`result.json`: what a job says about its result (DESIGN 3, kept stable for clients)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from worker.errors import PenumbraError
from worker.figures import Figures
from worker.finding import Finding
from worker.job_folder import JobRequest, OutcomeState, write_atomically
from worker.result import Result, StructureResult
from worker.rtstruct import WrittenRtstruct
from worker.series import CTSeries
from worker.uncertainty import Band


def done_document(result: Result, figures: Sequence[Figures], written: WrittenRtstruct) -> dict[str, object]:
    """The document of a job that is done.

    `round_trip` holds per ROI the DSC of the written RTSTRUCT, read back by an independent rasteriser, with what was
    computed.
    """
    return {
        **_head("done", None, result.series.series_instance_uid),
        "bundle": _bundle(result),
        "not_for_clinical_use": result.bundle.intended_use != "clinical",
        "bounds": bounds_word(result.structures),
        "passes": result.passes,
        "seed": result.seed,
        "device": result.device,
        "structures": [
            _structure(each, result.series, written.roi_names.get(each.structure.name, {}))
            for each in figures
        ],
        "findings": _findings(result.findings),
        "round_trip": dict(written.dsc),
        "seconds": dict(result.seconds),
    }


def ended_document(
    state: OutcomeState, error: PenumbraError, request: JobRequest, noted: Sequence[Finding]
) -> dict[str, object]:
    """The document of a job that ended without contours; what was noted before often tells the cause."""
    return {
        **_head(state, error.as_reason(), request.series_instance_uid),
        "bundle": None,
        "passes": request.passes,
        "seed": request.seed,
        "device": None,
        "structures": [],
        "findings": _findings(noted),
        "seconds": {},
    }


def write_document(document: Mapping[str, object], out: Path) -> None:
    """Write `result.json`, whole or not at all."""
    write_atomically(out / "result.json", (json.dumps(document, indent=2) + "\n").encode())


def _head(state: OutcomeState, reason: dict[str, str] | None, series_uid: str) -> dict[str, object]:
    return {"state": state, "reason": reason, "series_instance_uid": series_uid}


def _findings(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"code": f.code, "message": f.message} for f in findings]


def bounds_word(structures: Sequence[StructureResult]) -> str:
    """How the bounds were made, in one word for all structures; each says it for itself too."""
    modes = {s.bounds for s in structures}
    if modes == {"calibrated"}:
        return "calibrated"
    return "mixed" if "calibrated" in modes else "paper (uncalibrated)"


def _bundle(result: Result) -> dict[str, str]:
    return {key: getattr(result.bundle, key) for key in ("name", "version", "sha256", "intended_use")}


def _structure(figures: Figures, series: CTSeries, names: Mapping[str, str]) -> dict[str, object]:
    s, band = figures.structure, figures.band
    return {
        "name": s.name,
        "roi_names": {kind: names.get(kind) for kind in ("mean", "lower", "upper")},
        "volume_cc": figures.volume_cc,
        "lower_volume_cc": figures.lower_cc,
        "upper_volume_cc": figures.upper_cc,
        "quality": round(s.quality, 4),
        "quality_validated": s.quality_validated,
        "predicted_dsc": _predicted(s),
        "bounds": s.bounds,
        "band_mm": {"mean": _number(band.mean_mm), "p95": _number(band.p95_mm)},
        "look_here": _look_here(band, series),
    }


def _predicted(s: StructureResult) -> dict[str, float] | None:
    """True DSC as calibration predicts it from quality, with its 90 % interval."""
    if s.predicted_dsc is None:
        return None
    return {key: round(value, 3) for key, value in asdict(s.predicted_dsc).items()}


def _look_here(band: Band, series: CTSeries) -> list[dict[str, object]]:
    return [
        {
            "sop_instance_uid": series.sop_instance_uids[place.slice_index],
            "z_mm": round(float(series.slice_positions_mm[place.slice_index][2]), 3),
            "band_mm": round(place.band_mm, 2),
        }
        for place in band.look_here
    ]


def _number(value: float) -> float | None:
    """JSON knows no NaN: a band without a lower bound has no width."""
    return None if math.isnan(value) else round(value, 2)
