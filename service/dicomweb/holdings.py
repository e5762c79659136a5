"""What can be searched and fetched: series that were received, and the objects that jobs made.

Everything made lies in the study of the series it was made from, so studies are those of received series.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from service.database import Database
from service.dicomweb.headers import read_header
from service.records import InstanceRecord, JobRecord, SeriesRecord
from service.settings import ServiceSettings
from worker.job_folder import published_dir
from worker.object_files import objects_in

MOST_STUDIES: Final = 2000
"""A search looks at so many studies, the newest first, and says so when there are more."""


@dataclass(frozen=True, kw_only=True)
class HeldObject:
    """One DICOM object on the disk."""

    study_uid: str
    series_uid: str
    sop_uid: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class HeldSeries:
    """One series on the disk; `objects` in the order of their UIDs."""

    study_uid: str
    series_uid: str
    objects: tuple[HeldObject, ...]


@dataclass(frozen=True)
class HeldStudy:
    """One study, whose series are looked up when they are asked for."""

    study_uid: str
    holdings: "Holdings"

    @cached_property
    def series(self) -> tuple[HeldSeries, ...]:
        """Its series: those received, then those made."""
        return (*self.holdings.received(self.study_uid), *self.holdings.made(self.study_uid))


class Holdings:
    """Looks objects up; nothing is kept but headers (`service/dicomweb/headers.py`)."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def studies(self, study_uids: Sequence[str] | None = None) -> list[HeldStudy]:
        """Studies, the newest first, at most one more than `MOST_STUDIES`."""
        newest = func.max(SeriesRecord.last_received_at).desc()
        query = select(SeriesRecord.study_uid).group_by(SeriesRecord.study_uid)
        if study_uids is not None:
            query = query.where(SeriesRecord.study_uid.in_(study_uids))
        with self._database.read() as session:
            found = session.scalars(query.order_by(newest, SeriesRecord.study_uid).limit(MOST_STUDIES + 1))
            return [HeldStudy(study_uid, self) for study_uid in found]

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[HeldObject]:
        """The objects of a study, of one of its series, or the one of that UID."""
        return [
            each
            for series in (*self.received(study_uid, series_uid, sop_uid), *self.made(study_uid))
            if series_uid in {None, series.series_uid}
            for each in series.objects
            if sop_uid in {None, each.sop_uid}
        ]

    def received(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> Iterator[HeldSeries]:
        """Series of the study that came in, or of one of them, or with the one instance."""
        query = (
            select(InstanceRecord)
            .join(SeriesRecord, SeriesRecord.series_uid == InstanceRecord.series_uid)
            .where(SeriesRecord.study_uid == study_uid)
            .order_by(InstanceRecord.sop_uid)
        )
        if series_uid is not None:
            query = query.where(InstanceRecord.series_uid == series_uid)
        if sop_uid is not None:
            query = query.where(InstanceRecord.sop_uid == sop_uid)
        with self._database.read() as session:
            instances = session.scalars(query).all()
        yield from _by_series(
            HeldObject(
                study_uid=study_uid,
                series_uid=instance.series_uid,
                sop_uid=instance.sop_uid,
                path=self._settings.inbox_dir / instance.path,
            )
            for instance in instances
        )

    def made(self, study_uid: str) -> Iterator[HeldSeries]:
        """Series of the study that finished jobs made."""
        query = (
            select(JobRecord.id)
            .where(JobRecord.study_uid == study_uid, JobRecord.state == "done", JobRecord.has_result)
            .order_by(JobRecord.created_at, JobRecord.id)
        )
        with self._database.read() as session:
            jobs = session.scalars(query).all()
        yield from _by_series(
            HeldObject(
                study_uid=study_uid,
                series_uid=str(header.get("SeriesInstanceUID", "")),
                sop_uid=str(header.get("SOPInstanceUID", "")),
                path=made.path,
            )
            for job_id in jobs
            for made in objects_in(published_dir(self._settings.jobs_dir / job_id))
            if made.name.endswith(".dcm") and (header := read_header(made.path)) is not None
        )


def _by_series(objects: Iterator[HeldObject]) -> Iterator[HeldSeries]:
    found: dict[tuple[str, str], dict[str, HeldObject]] = {}
    for each in objects:
        found.setdefault((each.study_uid, each.series_uid), {}).setdefault(each.sop_uid, each)
    for (study_uid, series_uid), members in found.items():
        yield HeldSeries(study_uid=study_uid, series_uid=series_uid, objects=tuple(members.values()))
