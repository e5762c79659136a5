"""The report of a finished job with what reviewers have said by now, as HTML and as PDF."""

from datetime import UTC, datetime

from service.database import Database
from service.job import Job
from service.verdicts import Verdicts, current
from worker.job_folder import REVIEW_NAME
from worker.report.document import report_of
from worker.report.verdict_note import VerdictNote


def report_html(job: Job, database: Database) -> str | None:
    """The report; None where the job has none, as it is not done, too old, or its result was deleted."""
    if job.state != "done" or job.result_dir is None or not (job.result_dir / REVIEW_NAME).is_file():
        return None
    said = current(Verdicts(database).history(job.id))
    notes = [
        VerdictNote(
            structure=each.structure,
            grade=str(each.grade),
            note=each.note,
            reviewer=each.reviewer_name,
            at=each.at,
        )
        for each in said.values()
    ]
    return report_of(job.result_dir, job_id=job.id, made=datetime.now(UTC), verdicts=notes)
