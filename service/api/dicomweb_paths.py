"""What the routes of DICOMweb share: UIDs in paths, where links lead, who looked at what."""

from typing import Annotated

from fastapi import Depends, Path, Request

from service import audit
from service.api.parts import Parts, PartsDep, parts_of
from service.audit import Action
from service.dicomweb.holdings import HeldObject, Holdings
from service.dicomweb.retrieve import gone
from service.schemas import DICOMWEB_PATH, UID_CHARACTERS, UID_PATTERN
from service.settings_access import LOOPBACK_NAMES

_IN_PATH = Path(pattern=UID_PATTERN, max_length=UID_CHARACTERS)

StudyUid = Annotated[str, _IN_PATH]
SeriesUid = Annotated[str, _IN_PATH]
InstanceUid = Annotated[str, _IN_PATH]


def base_url(request: Request) -> str:
    """Where clients reach DICOMweb: what the settings say, else as this one came.

    On this machine a Host header without a port (dicomweb-client sends one) means the port that was connected to.
    """
    known = parts_of(request).settings.api_url
    if known is not None:
        return f"{known.rstrip('/')}{DICOMWEB_PATH}"
    url, server = request.base_url, request.scope.get("server")
    if url.port is None and url.hostname in LOOPBACK_NAMES and server is not None:
        url = url.replace(port=server[1])
    return f"{str(url).rstrip('/')}{DICOMWEB_PATH}"


def holdings_of(parts: Parts) -> Holdings:
    """What can be searched and fetched."""
    return Holdings(parts.settings, parts.database)


def objects_of_study(study_uid: StudyUid, parts: PartsDep) -> list[HeldObject]:
    """The objects of the study that the path names.

    Raises:
        Problem: 404, there are none.
    """
    return _found(holdings_of(parts).objects(study_uid))


def objects_of_series(study_uid: StudyUid, series_uid: SeriesUid, parts: PartsDep) -> list[HeldObject]:
    """The objects of the series that the path names; 404 if there are none."""
    return _found(holdings_of(parts).objects(study_uid, series_uid))


def object_of_path(
    study_uid: StudyUid, series_uid: SeriesUid, instance_uid: InstanceUid, parts: PartsDep
) -> HeldObject:
    """The object that the path names; 404 if it is not held."""
    return _found(holdings_of(parts).objects(study_uid, series_uid, instance_uid))[0]


StudyDep = Annotated[list[HeldObject], Depends(objects_of_study)]
SeriesDep = Annotated[list[HeldObject], Depends(objects_of_series)]
ObjectDep = Annotated[HeldObject, Depends(object_of_path)]


def _found(objects: list[HeldObject]) -> list[HeldObject]:
    if not objects:
        raise gone()
    return objects


def note_access(parts: Parts, action: Action, **about: audit.Plain) -> None:
    """One event for the audit log."""
    with parts.database.write() as session:
        audit.record(session, action, actor=None, outcome="success", **about)
