"""A series out of an archive: C-MOVE to our own listener, or C-GET over the same association (PS3.4 C.4.2, C.4.3)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from service.archive_query import PENDING, SUCCESS, ArchiveError, Receiving, associate
from service.inbox import Announced, Inbox
from service.logs import place_of
from service.store_status import UNEXPECTED, status_of
from worker.delivery import Node
from worker.errors import PenumbraError

SUBOPERATIONS_FAILED: Final = 0xB000  # complete, but some sub-operations failed or came with warnings
UNKNOWN_DESTINATION: Final = 0xA801

Alive = Callable[[], None]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A series, and the archive that has it."""

    node: Node
    calling_ae: str
    study_uid: str
    series_uid: str

    @property
    def keys(self) -> Dataset:
        """The identifier of the request."""
        keys = Dataset()
        keys.QueryRetrieveLevel = "SERIES"
        keys.StudyInstanceUID, keys.SeriesInstanceUID = self.study_uid, self.series_uid
        return keys


def move(wanted: Wanted, *, alive: Alive) -> int:
    """Have the archive send a series to our listener. `alive` is called at every sign of life.

    Returns how many sub-operations it tried, which need not be instances that we have.

    Raises:
        ArchiveError: it cannot be reached, does not know us, or gives up.
    """
    model = StudyRootQueryRetrieveInformationModelMove
    association = associate(wanted.node, wanted.calling_ae, model)
    try:
        answers = association.send_c_move(wanted.keys, wanted.calling_ae, model)
        return _follow(answers, wanted, alive)
    finally:
        if association.is_established:
            association.release()


def get(wanted: Wanted, inbox: Inbox, kinds: Iterable[str], *, alive: Alive) -> int:
    """Fetch a series over the association that asks for it. For archives that do not know us by address.

    Returns as `move` does.

    Raises:
        ArchiveError: it cannot be reached, does not offer C-GET, or gives up.
    """
    model, classes = StudyRootQueryRetrieveInformationModelGet, tuple(kinds)

    def store(event: Event) -> int:
        alive()
        return _keep(event, inbox, wanted.node.ae_title)

    receiving = Receiving(sop_classes=classes, handler=store)
    association = associate(wanted.node, wanted.calling_ae, model, receiving)
    try:
        return _follow(association.send_c_get(wanted.keys, model), wanted, alive)
    finally:
        if association.is_established:
            association.release()


def _follow(answers: Iterable[tuple[Dataset, Dataset | None]], wanted: Wanted, alive: Alive) -> int:
    for status, _ in answers:
        alive()
        if "Status" not in status:
            raise ArchiveError(f"{wanted.node} stopped answering while it sent.")
        code = int(status.Status)
        if code in PENDING:
            continue
        if code not in {SUCCESS, SUBOPERATIONS_FAILED}:
            raise _refused(code, wanted)
        return sum(_number(status, each) for each in ("Completed", "Warning", "Failed"))
    raise ArchiveError(f"{wanted.node} stopped answering while it sent.")


def _number(status: Dataset, what: str) -> int:
    return int(status.get(f"NumberOf{what}Suboperations") or 0)


def _refused(code: int, wanted: Wanted) -> ArchiveError:
    if code == UNKNOWN_DESTINATION:
        return ArchiveError(
            f"{wanted.node} does not know where {wanted.calling_ae} is.",
            remedy=f"Enter {wanted.calling_ae} with Penumbra's address and DICOM port at the archive.",
        )
    return ArchiveError(f"{wanted.node} did not send the series (0x{code:04X}).")


def _keep(event: Event, inbox: Inbox, sender: str) -> int:
    """Keep one instance; as the listener answers (PS3.4 B.2.3)."""
    request = cast(C_STORE, event.request)
    announced = Announced(str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID))
    try:
        inbox.receive(event.encoded_dataset(), sender=sender, source="dicom", announced=announced)
    except PenumbraError as error:
        log.warning("instance refused", sender=sender, code=error.code)
        return status_of(error)
    except Exception as error:  # noqa: BLE001 - the request is the boundary; the association goes on
        log.error("instance not stored", cause=type(error).__name__, where=place_of(error))
        return UNEXPECTED
    return SUCCESS
