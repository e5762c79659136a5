"""Whose series they are, read from headers when somebody who may asks: no patient's name lies in the database.

What is read here is about patients: never log it, never put it into an error.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from sqlalchemy import select
from sqlalchemy.orm import Session

from service import ownership
from service.database import Database
from service.records import InstanceRecord, JobRecord, SeriesRecord
from service.settings import ServiceSettings
from worker.job_folder import RTSTRUCT_NAME, published_dir
from worker.unchecked_values import DAMAGED, text_of

SEARCHED: Final = 2000
"""A search for a name looks at so many series, the newest first."""

CACHED: Final = 8192
NO_NAME: Final = re.compile(r"(?:1\.[23]|2\.(?:16|25))\.[0-9.]{8,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]*")
"""Text that begins a UID or a job's id: no patient is called so, though some have IDs of digits, dots and dashes."""

_TAGS: Final = {
    "name": Tag("PatientName"),
    "patient_id": Tag("PatientID"),
    "study_date": Tag("StudyDate"),
    "study_description": Tag("StudyDescription"),
    "series_description": Tag("SeriesDescription"),
}
_READ: Final = (Tag("SpecificCharacterSet"), *_TAGS.values())
_LAST: Final = max(_READ)


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What a person needs to find a patient's series. Texts are as in DICOM, empty where there is none."""

    name: str
    patient_id: str
    study_date: str
    study_description: str
    series_description: str

    def fits(self, words: Collection[str]) -> bool:
        """Whether each word stands somewhere in it; words are in lower case."""
        return all(word in self._text for word in words)

    @cached_property
    def _text(self) -> str:
        return " ".join(getattr(self, field.name) for field in fields(self)).replace("^", " ").casefold()


class Patients:
    """Reads headers; who was read before is kept in memory, as long as the file is there."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def of_jobs(self, job_ids: Collection[str]) -> Mapping[str, Patient]:
        """Job -> its patient. Jobs that whoever acts may not know of, or with nothing left, are left out."""
        query = ownership.only_visible(select(JobRecord)).where(JobRecord.id.in_(job_ids))
        with self._database.read() as session:
            series = {job.id: job.series_uid for job in session.scalars(query)}
            paths = _first_instances(session, set(series.values()))
        found = {job_id: self._patient(paths.get(uid), job_id) for job_id, uid in series.items()}
        return {job_id: patient for job_id, patient in found.items() if patient is not None}

    def series_that_fit(self, text: str) -> Sequence[str]:
        """UIDs of series, of the newest `SEARCHED`, whose patient or description has every word of the text."""
        words = [] if NO_NAME.fullmatch(text) else text.casefold().replace("^", " ").split()
        if not words:
            return []
        newest = select(SeriesRecord.series_uid).order_by(SeriesRecord.last_received_at.desc())
        with self._database.read() as session:
            paths = _first_instances(session, session.scalars(newest.limit(SEARCHED)).all())
        return list(self._that_fit(paths, words))

    def _that_fit(self, paths: Mapping[str, str], words: Collection[str]) -> Iterator[str]:
        for series_uid, path in paths.items():
            patient = patient_in(self._settings.inbox_dir / path)
            if patient is not None and patient.fits(words):
                yield series_uid

    def _patient(self, instance: str | None, job_id: str) -> Patient | None:
        """From the series itself, else from the RTSTRUCT that was made of it."""
        made = published_dir(self._settings.jobs_dir / job_id) / RTSTRUCT_NAME
        files: tuple[Path, ...] = (made,) if instance is None else (self._settings.inbox_dir / instance, made)
        return next((found for file in files if (found := patient_in(file)) is not None), None)


def patient_in(file: Path) -> Patient | None:
    """Whose file it is; None where it is gone or damaged."""
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=CACHED)
def _read(file: Path, _stamp: int) -> Patient | None:
    """`_stamp`, the file's time, makes another file of the same name another patient."""
    try:
        with file.open("rb") as stream:
            return _of_header(read_partial(stream, stop_when=_is_past, specific_tags=list(_READ)))
    except DAMAGED:
        return None


def _is_past(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _LAST)


def _first_instances(session: Session, series_uids: Collection[str]) -> dict[str, str]:
    """Series -> path of one of its instances, relative to the inbox. The series' other rows are not read."""
    one = select(InstanceRecord.path).where(InstanceRecord.series_uid == SeriesRecord.series_uid).limit(1)
    query = select(SeriesRecord.series_uid, one.scalar_subquery()).where(
        SeriesRecord.series_uid.in_(series_uids)
    )
    return {series_uid: path for series_uid, path in session.execute(query) if path is not None}


def _of_header(header: Dataset) -> Patient:
    return Patient(**{name: text_of(header, keyword_for_tag(tag)) for name, tag in _TAGS.items()})
