"""Whose series jobs are about, for people who look for a patient. Read from headers; every answer is audited."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, StringConstraints

from service import audit
from service.api.parts import JOB_ID, Parts, PartsDep
from service.audit import Action
from service.patients import Patients
from service.schemas import API_PATH

router = APIRouter(prefix=f"{API_PATH}/patients", tags=["jobs"])

JobId = Annotated[str, StringConstraints(pattern=f"^{JOB_ID.pattern}$", max_length=36)]


class PatientView(BaseModel):
    """The patient and study of one job's series. Texts are as in DICOM: `DOE^JOHN`, `20260504`; empty if absent."""

    job_id: str
    name: str
    patient_id: str
    study_date: str
    study_description: str
    series_description: str


class PatientList(BaseModel):
    """What is known; a job whose series and result have been deleted is left out."""

    patients: list[PatientView]


@router.get("")
def list_patients(
    parts: PartsDep, job: Annotated[list[JobId], Query(min_length=1, max_length=200)]
) -> PatientList:
    """Whose series these jobs are about."""
    found = Patients(parts.settings, parts.database).of_jobs(job)
    note_search(parts, found=len(found))
    views = [
        PatientView.model_validate({"job_id": job_id, **asdict(patient)}) for job_id, patient in found.items()
    ]
    return PatientList(patients=views)


def note_search(parts: Parts, **about: audit.Plain) -> None:
    """Somebody was told of patients, or looked for one; for whom, the log is not to say."""
    with parts.database.write() as session:
        audit.record(session, Action.QUERIED, actor=None, outcome="success", level="patients", **about)
