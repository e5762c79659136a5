"""The report as HTML: one file without anything from elsewhere, for the screen and, by `pdf.py`, for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from worker.job_folder import RTSTRUCT_NAME, SLICES_NAME
from worker.report.identity import read_identity
from worker.report.look import colour_of, looks_of
from worker.report.look_note import LookNote
from worker.report.profile import profiles_of, scale_mm
from worker.report.verdict_note import GRADES, VerdictNote
from worker.review_document import Review, ReviewStructure, read_review

TEMPLATE: Final = "report.html.j2"
VERDICTS_OF_CHECKS: Final = {
    "pass": ("✓", "kept"),
    "warn": ("!", "look"),
    "not assessable": ("–", "not assessable"),
}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """How many contours of the written RTSTRUCT were read back, and the least DSC with what was computed."""

    count: int
    least: float
    structure: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """What reviewers have said and done by now; nothing while a job runs."""

    verdicts: Sequence[VerdictNote] = ()
    """Structures without one get boxes to tick by hand."""
    looks: Sequence[LookNote] = ()
    """Who has looked at which places, oldest first."""


NOTHING_YET: Final = Said()


def report_of(folder: Path, *, job_id: str, made: datetime, said: Said = NOTHING_YET) -> str:
    """The report of a result folder.

    Args:
        folder: with `review.json`, the slices and the RTSTRUCT.
        job_id: of the job.
        made: when the report is made, UTC.
        said: what reviewers have said and done.

    Raises:
        FileNotFoundError: the result is older than reviews, or not whole.
    """
    return draw(read_review(folder), folder, job_id=job_id, made=made, said=said)


def draw(review: Review, folder: Path, *, job_id: str, made: datetime, said: Said = NOTHING_YET) -> str:
    """The same with a review that is not in the folder yet."""
    return _template().render(
        review=review,
        who=read_identity(folder / RTSTRUCT_NAME),
        job_id=job_id,
        made=made,
        looks=looks_of(review, folder / SLICES_NAME),
        profiles=profiles_of(review),
        scale_mm=scale_mm(review),
        proof=_proof(review),
        colours={each.name: colour_of(each) for each in review.structures},
        said={each.structure: each for each in said.verdicts},
        seen=_seen(said.looks),
        grades=GRADES,
        check_words=VERDICTS_OF_CHECKS,
        bounds=_bounds(review),
    )


def _seen(looks: Sequence[LookNote]) -> dict[str, list[LookNote]]:
    """Place's key -> who has looked at it, the first first."""
    found: dict[str, list[LookNote]] = {}
    for look in looks:
        found.setdefault(look.place, []).append(look)
    return found


def _proof(review: Review) -> Proof | None:
    told = [(dsc, each.name) for each in review.structures for dsc in each.round_trip.values()]
    return Proof(count=len(told), least=min(told)[0], structure=min(told)[1]) if told else None


def _bounds(review: Review) -> str:
    """How the bounds were made, in a sentence."""
    by_mode: Mapping[bool, list[ReviewStructure]] = {
        calibrated: [each for each in review.structures if (each.percent is not None) == calibrated]
        for calibrated in (True, False)
    }
    if not by_mode[False]:
        percents = sorted({f"{each.percent} %" for each in by_mode[True]})
        least = " or ".join(percents)
        return f"calibrated: on average at least {least} of a reference's surface lies between them"
    if not by_mode[True]:
        return "of the paper, uncalibrated: how much of the true surface they hold is not known"
    names = ", ".join(each.words for each in by_mode[False])
    return f"calibrated, except those of {names}: uncalibrated"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)
