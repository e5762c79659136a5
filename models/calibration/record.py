"""The record of a calibration, as it stands in a bundle's manifest: numbers and what they were made from."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.calibration.quality import Prediction, QualityMap


class BandRecord(BaseModel):
    """The calibrated band of one structure.

    Attributes:
        cases: n, those whose surface was used.
        skipped: cases that were left out for this structure: not in the truth, or not found.
        kappa: half-width of the band in units of max(s, s₀).
        s0_mm: s₀, half the in-plane voxel of the structure's volume of interest.
        risk: mean share of the reference surface outside the band, over the cases.
        held_out_risk: the same with each case judged by the κ of the others; null where they are too few.
        paper_risk: the same for the paper's band.
        width_mm: mean of 2·κ·max(s, s₀) over the reference surface.
        curve: pairs of κ and risk.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cases: int
    skipped: int
    kappa: float = Field(ge=0)
    s0_mm: float = Field(gt=0)
    risk: float
    held_out_risk: float | None
    paper_risk: float
    width_mm: float
    curve: tuple[tuple[float, float], ...]


class QualityRecord(BaseModel):
    """What quality says about the true DSC of one organ.

    Attributes:
        cases: n.
        rank_correlation: Spearman's, of quality with DSC; null where one of them is constant.
        validated: whether that is enough to show quality, and the DSC predicted from it.
        coverage: what the interval aims at.
        quality, dsc, low, high: knots of the map (`models/calibration/quality.py:QualityMap`).
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    cases: int
    rank_correlation: float | None
    validated: bool
    coverage: float
    quality: tuple[float, ...]
    dsc: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @model_validator(mode="after")
    def _same_length(self) -> QualityRecord:
        if not len(self.quality) == len(self.dsc) == len(self.low) == len(self.high) > 0:
            raise ValueError("the curves of a quality map need as many values as it has knots")
        return self

    def predict(self, quality: float) -> Prediction:
        """Predicted DSC with its interval."""
        return QualityMap(quality=self.quality, dsc=self.dsc, low=self.low, high=self.high).predict(quality)


class CalibrationRecord(BaseModel):
    """One calibration of one bundle.

    Attributes:
        alpha: share of the reference surface that may lie outside the band, on average over cases.
        passes: with how many it was made; fewer passes know s less well, so it holds from as many on.
        cases: how many were given.
        not_contoured: how many of them got no result at all.
        bands: by structure; one that is missing here has no calibrated band.
        quality: by organ.
        data_sha256: SHA-256 of the data; `data_hash_of` says over what.
        data_hash_of: over what.
        date: when.
        weights: SHA-256 of each network's weights; with others the record is void.
        command: how to do it again.
    """

    model_config = ConfigDict(frozen=True)

    alpha: float = Field(gt=0, lt=1)
    passes: int = Field(ge=1)
    cases: int
    not_contoured: int
    bands: dict[str, BandRecord]
    quality: dict[str, QualityRecord]
    data_sha256: str
    data_hash_of: str
    date: date
    weights: dict[str, str]
    command: str
