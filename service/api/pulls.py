"""Pulls over REST: look what an archive has, have series sent, see how that goes."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.api.deliveries import AeTitle
from service.api.parts import JOB_ID, Parts, PartsDep
from service.archive_query import FoundSeries, SeriesQuery
from service.pulls import Method, Pull, PullNotFound, Pulls, PullState
from service.schemas import API_PATH, Reason, Uid

PULLS_PATH = f"{API_PATH}/pulls"

router = APIRouter(prefix=PULLS_PATH, tags=["pulls"])


class SeriesKeys(BaseModel):
    """Which series of which archive. At least one key besides the modality."""

    model_config = ConfigDict(extra="forbid")

    node: AeTitle
    study_instance_uid: Uid | None = None
    series_instance_uid: Uid | None = None
    accession_number: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    patient_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    modality: Literal["CT", "RTSTRUCT"] = "CT"

    @model_validator(mode="after")
    def _ask_for_something(self) -> Self:
        if not any(
            (self.study_instance_uid, self.series_instance_uid, self.accession_number, self.patient_id)
        ):
            raise ValueError("name a study, a series, an accession number or a patient id")
        if any("*" in text or "?" in text or "\\" in text for text in self._texts()):
            raise ValueError("no wildcards")
        return self

    @property
    def query(self) -> SeriesQuery:
        """What the archive is asked."""
        return SeriesQuery(
            study_uid=self.study_instance_uid or "",
            series_uid=self.series_instance_uid or "",
            patient_id=self.patient_id or "",
            accession_number=self.accession_number or "",
            modality=self.modality,
        )

    def _texts(self) -> tuple[str, str]:
        return self.accession_number or "", self.patient_id or ""


class PullRequest(SeriesKeys):
    """What is to be pulled. `method` None takes the node's own."""

    method: Method | None = None


class FoundSeriesView(BaseModel):
    """A series that an archive has; `instances` is null where it does not say how many."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    description: str
    instances: int | None

    @classmethod
    def of(cls, found: FoundSeries) -> Self:
        """`found` as clients see it."""
        return cls(
            study_instance_uid=found.study_uid,
            series_instance_uid=found.series_uid,
            modality=found.modality,
            description=found.description,
            instances=found.instances,
        )


class FoundSeriesList(BaseModel):
    """Series of an archive."""

    series: list[FoundSeriesView]


class PullView(BaseModel):
    """A series on its way from an archive; `received` is counted against `announced`."""

    id: str
    node: str
    method: Method
    state: PullState
    study_instance_uid: str
    series_instance_uid: str
    announced: int | None
    received: int
    attempts: int
    reason: Reason | None
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, pull: Pull) -> Self:
        """`pull` as clients see it."""
        values = {name: getattr(pull, name) for name in cls.model_fields if hasattr(pull, name)}
        for name in ("created_at", "updated_at"):
            values[name] = datetime.fromtimestamp(values[name], UTC)
        return cls(**values, links={"self": f"{PULLS_PATH}/{pull.id}"})


class PullList(BaseModel):
    """Pulls, newest first."""

    pulls: list[PullView]


@router.post("/find")
def find_series(keys: SeriesKeys, parts: PartsDep) -> FoundSeriesList:
    """Ask an archive which series it has. Keys travel in the body, since a patient's id is none of a URL's."""
    found = _pulls(parts).find(keys.node, keys.query)
    return FoundSeriesList(series=[FoundSeriesView.of(each) for each in found])


@router.post("", status_code=202)
def create_pulls(wanted: PullRequest, parts: PartsDep) -> PullList:
    """Pull every series that fits; one pull each. A job follows by itself once a series is here."""
    made = _pulls(parts).ask(wanted.node, wanted.query, wanted.method)
    return PullList(pulls=[PullView.of(each) for each in made])


@router.get("")
def list_pulls(
    parts: PartsDep, state: PullState | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> PullList:
    """Pulls, newest first."""
    return PullList(pulls=[PullView.of(each) for each in _pulls(parts).list(state=state, limit=limit)])


@router.get("/{pull_id}")
def get_pull(pull_id: str, parts: PartsDep) -> PullView:
    """One pull."""
    if JOB_ID.fullmatch(pull_id) is None:
        raise PullNotFound
    return PullView.of(_pulls(parts).get(pull_id))


def _pulls(parts: Parts) -> Pulls:
    return Pulls(parts.settings, parts.database)
