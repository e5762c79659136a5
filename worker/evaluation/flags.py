"""Would anybody have been warned? What a result says against itself, beside how good it is.

The limits were set before any case was seen and are not fitted to any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.structures import STRUCTURES, structure
from worker.evaluation.scores import CaseScore, Score
from worker.evaluation.tables import in_force

POOR_DSC = 0.6
LOW_PREDICTED_DSC = 0.7
LOW_QUALITY = 0.85  # where the bundle has no record that turns quality into a DSC
WIDE_BAND_MM = 10.0


@dataclass(frozen=True, kw_only=True)
class Flagged:
    """One contour and what was said about it, without knowing the truth."""

    score: Score
    flags: tuple[str, ...]

    @property
    def poor(self) -> bool:
        """Whether it is worse than any contour should be."""
        return self.score.dsc < POOR_DSC


def flagged(cases: Sequence[CaseScore]) -> list[Flagged]:
    """Every contour of the mode in force with its flags."""
    return [Flagged(score=s, flags=tuple(_flags(case, s))) for case in in_force(cases) for s in case.scores]


def unflagged_poor_organs(cases: Sequence[CaseScore]) -> list[Flagged]:
    """Organs below the least DSC of which nobody was warned: there should be none."""
    return [
        each
        for each in flagged(cases)
        if each.poor and not each.flags and structure(each.score.structure).kind == "organ"
    ]


def flag_table(cases: Sequence[CaseScore]) -> list[dict[str, object]]:
    """Per structure: poor contours with and without a flag, good ones with a flag (false alarms), and all good ones."""
    rows: list[dict[str, object]] = []
    everything = flagged(cases)
    for row in STRUCTURES:
        own = [each for each in everything if each.score.structure == row.name]
        if own:
            good = [each for each in own if not each.poor]
            rows.append(
                {
                    "structure": row.name,
                    "poor_flagged": sum(each.poor and bool(each.flags) for each in own),
                    "poor_unflagged": sum(each.poor and not each.flags for each in own),
                    "good": len(good),
                    "good_flagged": sum(bool(each.flags) for each in good),
                }
            )
    return rows


def _flags(case: CaseScore, score: Score) -> Iterator[str]:
    """What is said: by the guard or the pipeline about the case or this structure, by quality, by the band."""
    if case.state != "done":
        yield f"{case.state}: {case.reason}"
        return
    names = {row.name for row in STRUCTURES}
    for finding in case.findings:
        about = {name for name in names if name in finding.message}
        if not about or score.structure in about:
            yield finding.code
    if not score.found:
        return
    if score.predicted_dsc is not None and score.predicted_dsc < LOW_PREDICTED_DSC:
        yield "low predicted DSC"
    elif score.predicted_dsc is None and score.quality_validated and score.quality < LOW_QUALITY:
        yield "low quality"
    if score.band_mm is None or score.band_mm > WIDE_BAND_MM:
        yield "wide band"
