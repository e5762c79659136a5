"""The report of a finished job with what reviewers have said by now, as HTML and as PDF."""

from datetime import UTC, datetime

from service.database import Database
from service.job import Job
from service.looked import LookedPlaces
from service.verdicts import Verdicts, current
from worker.job_folder import REVIEW_NAME
from worker.report.document import Said, report_of
from worker.report.look_note import LookNote
from worker.report.verdict_note import VerdictNote


def report_html(job: Job, database: Database) -> str | None:
    """The report; None where the job has none, as it is not done, too old, or its result was deleted."""
    if job.state != "done" or job.result_dir is None or not (job.result_dir / REVIEW_NAME).is_file():
        return None
    said = Said(verdicts=_verdicts(job, database), looks=_looks(job, database))
    return report_of(job.result_dir, job_id=job.id, made=datetime.now(UTC), said=said)


def _verdicts(job: Job, database: Database) -> list[VerdictNote]:
    counting = current(Verdicts(database).history(job.id)).values()
    return [
        VerdictNote(
            structure=each.structure,
            grade=str(each.grade),
            note=each.note,
            reviewer=each.reviewer_name,
            at=each.at,
        )
        for each in counting
    ]


def _looks(job: Job, database: Database) -> list[LookNote]:
    return [
        LookNote(place=each.place, reviewer=each.reviewer_name, at=each.at)
        for each in LookedPlaces(database).of(job.id)
    ]
