"""What an archive has: C-FIND at series level, Study Root (PS3.4 C.6.2). Patients stay out of logs and errors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from service.instance_header import is_uid
from worker.delivery import CONNECT_S, Node
from worker.errors import PenumbraError

ANSWER_S: Final = 60
MAX_FOUND: Final = 500
PENDING: Final = frozenset({0xFF00, 0xFF01})
SUCCESS: Final = 0x0000


class ArchiveError(PenumbraError):
    """An archive could not be asked, or did not do what it was asked for."""

    code = "archive"
    default_remedy = "Check the archive's address and AE title, and that it knows ours."


@dataclass(frozen=True, kw_only=True)
class SeriesQuery:
    """Which series are looked for; an empty text means any."""

    study_uid: str = ""
    series_uid: str = ""
    patient_id: str = ""
    accession_number: str = ""
    modality: str = "CT"


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """A series that an archive has. `instances` is what it announces, None if it does not say."""

    study_uid: str
    series_uid: str
    modality: str
    description: str
    instances: int | None


def find_series(node: Node, query: SeriesQuery, *, calling_ae: str) -> list[FoundSeries]:
    """Ask an archive for series. At most `MAX_FOUND` are returned.

    Raises:
        ArchiveError: it cannot be reached, or does not answer the query.
    """
    association = associate(node, calling_ae, StudyRootQueryRetrieveInformationModelFind)
    try:
        studies = [query.study_uid]
        if not (query.study_uid or query.series_uid):
            studies = [str(each.StudyInstanceUID) for each in _find(association, node, _study_keys(query))]
        found: dict[str, FoundSeries] = {}
        for study_uid in studies:
            for answer in _find(association, node, _series_keys(query, study_uid)):
                series = _found(answer, study_uid)
                if series is not None and query.modality in {"", series.modality}:
                    found.setdefault(series.series_uid, series)
        return list(found.values())[:MAX_FOUND]
    finally:
        if association.is_established:
            association.release()


@dataclass(frozen=True, kw_only=True)
class Receiving:
    """What an association needs over which instances come back (C-GET): kinds, and who takes them."""

    sop_classes: Sequence[str]
    handler: Callable[[Event], int]


def associate(
    node: Node, calling_ae: str, abstract_syntax: str, receiving: Receiving | None = None
) -> Association:
    """An association with an archive for one kind of request.

    Raises:
        ArchiveError: it cannot be reached, refuses us, or does not offer this.
    """
    entity = AE(ae_title=calling_ae)
    entity.connection_timeout = CONNECT_S
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ANSWER_S
    entity.add_requested_context(abstract_syntax)
    sop_classes = () if receiving is None else receiving.sop_classes
    for sop_class in sop_classes:
        entity.add_requested_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        node.host,
        node.port,
        ae_title=node.ae_title,
        ext_neg=[build_role(each, scp_role=True) for each in sop_classes],
        evt_handlers=[] if receiving is None else [(evt.EVT_C_STORE, receiving.handler)],
        tls_args=node.tls_arguments,
    )
    if association.is_established:
        if any(each.abstract_syntax == abstract_syntax for each in association.accepted_contexts):
            return association
        association.release()
        raise ArchiveError(f"{node} does not offer this kind of query or retrieval.")
    if association.is_rejected:
        raise ArchiveError(
            f"{node} refused the association.", remedy=f"Let it know the AE title {calling_ae}."
        )
    if association.is_aborted and association.acceptor.primitive is not None:
        raise ArchiveError(f"{node} does not offer this kind of query or retrieval.")
    raise ArchiveError(node.unreachable())


def _find(association: Association, node: Node, keys: Dataset) -> Iterator[Dataset]:
    count = 0
    for status, answer in association.send_c_find(keys, StudyRootQueryRetrieveInformationModelFind):
        code = _status(status, node)
        if code in PENDING and answer is not None:
            count += 1
            if count <= MAX_FOUND:
                yield answer
        elif code not in PENDING | {SUCCESS}:
            raise ArchiveError(
                f"{node} does not answer the query (0x{code:04X}).",
                remedy="Give the study's UID; some archives ask for it.",
            )


def _status(status: Dataset, node: Node) -> int:
    if "Status" not in status:
        raise ArchiveError(f"{node} stopped answering.")
    return int(status.Status)


def _study_keys(query: SeriesQuery) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = ""
    keys.PatientID, keys.AccessionNumber = query.patient_id, query.accession_number
    return keys


def _series_keys(query: SeriesQuery, study_uid: str) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "SERIES"
    keys.StudyInstanceUID, keys.SeriesInstanceUID = study_uid, query.series_uid
    keys.Modality, keys.SeriesDescription = query.modality, ""
    keys.NumberOfSeriesRelatedInstances = None
    return keys


def _found(answer: Dataset, study_uid: str) -> FoundSeries | None:
    """A series of an answer; None where the archive leaves out what makes it one."""
    found_study = str(answer.get("StudyInstanceUID") or study_uid)
    series_uid = str(answer.get("SeriesInstanceUID") or "")
    if not is_uid(series_uid) or not is_uid(found_study):
        return None
    return FoundSeries(
        study_uid=found_study,
        series_uid=series_uid,
        modality=str(answer.get("Modality") or "")[:16],
        description=str(answer.get("SeriesDescription") or "")[:64],
        instances=_count(answer),
    )


def _count(answer: Dataset) -> int | None:
    try:
        return int(answer.NumberOfSeriesRelatedInstances)
    except (AttributeError, TypeError, ValueError):
        return None


def known(found: Sequence[FoundSeries], series_uid: str) -> FoundSeries | None:
    """The series of that UID among those found."""
    return next((each for each in found if each.series_uid == series_uid), None)
