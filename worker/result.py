"""What segmentation hands to everything that writes, draws or reports it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.calibration.quality import Prediction
from worker.bundle_card import BundleCard
from worker.finding import Finding
from worker.series import CTSeries

BoundsMode = Literal["paper", "calibrated"]


@dataclass(frozen=True, kw_only=True)
class StructureResult:
    """One structure with its uncertainty, on the CT's own grid.

    Attributes:
        name: `CTV`, `Bladder`, `Rectum`, `Femur_Head_L`, `Femur_Head_R` or `PenileBulb`.
        mean: field (z, y, x), 0..1, zero away from the structure; its contour is where it crosses `level`.
        lower: field of the lower bound, nowhere above `mean`.
        upper: field of the upper bound, nowhere below `mean`.
        level: the contour level of all three fields.
        quality: mean DSC of the passes with the mean, 0..1.
        quality_validated: whether quality was shown to tell the true DSC for this structure.
        percent: of the reference surface that calibrated bounds hold on average, 95 as a rule; None for the paper's.
        predicted_dsc: the true DSC as the bundle's calibration record predicts it from quality, if it does.
    """

    name: str
    mean: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    level: float
    quality: float
    quality_validated: bool
    percent: int | None = None
    predicted_dsc: Prediction | None = None

    @property
    def bounds(self) -> BoundsMode:
        """How lower and upper were made."""
        return "paper" if self.percent is None else "calibrated"


@dataclass(frozen=True, kw_only=True)
class Result:
    """All structures of one series, and how they were made."""

    series: CTSeries
    structures: tuple[StructureResult, ...]
    bundle: BundleCard
    passes: int
    seed: int
    device: str
    findings: tuple[Finding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
