"""The reviewer's verdict over REST: four grades per structure, a note, and what was said before."""

from collections.abc import Sequence
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.api.parts import JobDep, PartsDep
from service.job import Job
from service.schemas import JOBS_PATH
from service.verdicts import Grade, Judgement, Verdict, Verdicts, current, structures_of

NOTE_CHARACTERS = 2000

Note = Annotated[
    str, StringConstraints(max_length=NOTE_CHARACTERS, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
]
StructureName = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_]+$")]

router = APIRouter(prefix=f"{JOBS_PATH}/{{job_id}}/verdict", tags=["verdict"])


class JudgementRequest(BaseModel):
    """A verdict on one structure. A grade of null takes back what was said of it before."""

    model_config = ConfigDict(extra="forbid")

    structure: StructureName
    grade: Grade | None
    note: Note = ""


class VerdictRequest(BaseModel):
    """Verdicts on some structures; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid")

    verdicts: Annotated[list[JudgementRequest], Field(max_length=32)]


class JobVerdict(BaseModel):
    """Everything that was said of a job's contours."""

    job_id: str
    structures: list[str]
    """Those that can be judged."""
    verdicts: list[Verdict]
    """What counts, at most one per structure, in the result's order."""
    history: list[Verdict]
    """All that was ever said, newest first."""

    @classmethod
    def of(cls, job: Job, history: Sequence[Verdict]) -> Self:
        """The verdict on `job`."""
        newest, structures = current(history), structures_of(job)
        named = [name for name in structures if name in newest] or list(newest)
        return cls(
            job_id=job.id,
            structures=structures,
            verdicts=[newest[name] for name in named],
            history=list(history),
        )


@router.get("")
def get_verdict(job: JobDep, parts: PartsDep) -> JobVerdict:
    """What reviewers said of the job's contours; empty lists where nobody did."""
    return JobVerdict.of(job, Verdicts(parts.database).history(job.id))


@router.put("")
def put_verdict(job: JobDep, wanted: VerdictRequest, parts: PartsDep) -> JobVerdict:
    """Say how usable the contours are. Recorded beside them: RTSTRUCT and result stay as they are."""
    judgements = [Judgement(**each.model_dump()) for each in wanted.verdicts]
    return JobVerdict.of(job, Verdicts(parts.database).give(job, judgements))
