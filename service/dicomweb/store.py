"""Instances on their way in (STOW-RS, PS3.18 10.5): as by C-STORE, and with the same account of each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from pydicom import Dataset

from service.dicomweb.headers import json_of
from service.inbox import Inbox, InboxUnavailable
from service.instance_header import InstanceHeader, NotAnImage, read_header
from service.store_status import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from service.whole_instance import kind_of
from worker.errors import PenumbraError, TooLarge, UnreadableInstance, UnsupportedTransferSyntax

SENDER: Final = "dicomweb"

# Failure reasons (PS3.18 Table I.2-2, PS3.4 B.2.3)
OTHER_STUDY: Final = 0xA901
SYNTAX_NOT_SUPPORTED: Final = 0xC122
CLASS_NOT_SUPPORTED: Final = 0x0122

log = structlog.get_logger(__name__)


@dataclass
class Account:
    """What became of the instances of one request."""

    stored: list[InstanceHeader] = field(default_factory=list)
    refused: list[tuple[InstanceHeader | None, int]] = field(default_factory=list)
    unavailable: InboxUnavailable | None = None

    @property
    def status(self) -> int:
        """200: all were stored; 202: some; 409: none (PS3.18 10.5.3.1)."""
        if not self.refused:
            return 200
        return 202 if self.stored else 409

    def document(self, base_url: str) -> dict[str, Any]:
        """The store instances response (PS3.18 Table 10.5.3-2) in the DICOM JSON model."""
        answer = Dataset()
        studies = {header.study_uid for header in self.stored}
        if len(studies) == 1:
            answer.RetrieveURL = f"{base_url}/studies/{studies.pop()}"
        answer.ReferencedSOPSequence = [_reference(header, base_url) for header in self.stored]
        answer.FailedSOPSequence = [
            _failure(header, reason) for header, reason in self.refused if header is not None
        ]
        answer.OtherFailuresSequence = [
            _other_failure(reason) for header, reason in self.refused if header is None
        ]
        for name in ("ReferencedSOPSequence", "FailedSOPSequence", "OtherFailuresSequence"):
            if not answer[name].value:
                del answer[name]
        return json_of(answer)


def store(files: Iterable[Path], inbox: Inbox, *, study_uid: str | None, max_bytes: int) -> Account:
    """Take instances into the inbox; what was stored stays stored, whatever becomes of the others.

    Args:
        files: one staged file per instance.
        inbox: where they go.
        study_uid: the study they must belong to; None for any.
        max_bytes: an instance may have so many.

    Raises:
        InboxUnavailable: nothing could be stored for want of space or of the database.
    """
    account = Account()
    for path in files:
        header: InstanceHeader | None = None
        try:
            if path.stat().st_size > max_bytes:
                raise TooLarge(f"An instance is larger than {max_bytes} bytes.")
            data = path.read_bytes()
            header = read_header(data)
            if study_uid is not None and header.study_uid != study_uid:
                account.refused.append((header, OTHER_STUDY))
                continue
            if kind_of(data) == "damaged":
                raise UnreadableInstance("The instance is damaged or cut off.")
            inbox.receive(data, sender=SENDER, source="rest", header=header)
            account.stored.append(header)
        except InboxUnavailable as error:
            account.unavailable = error
            account.refused.append((header, OUT_OF_RESOURCES))
        except PenumbraError as error:
            log.warning("instance refused", sender=SENDER, code=error.code)
            account.refused.append((header, _reason_of(error)))
    if account.unavailable is not None and not account.stored:
        raise account.unavailable
    return account


def _reason_of(error: PenumbraError) -> int:
    if isinstance(error, UnsupportedTransferSyntax):
        return SYNTAX_NOT_SUPPORTED
    if isinstance(error, NotAnImage):
        return CLASS_NOT_SUPPORTED
    return CANNOT_UNDERSTAND


def _reference(header: InstanceHeader, base_url: str) -> Dataset:
    item = _named(header)
    item.RetrieveURL = (
        f"{base_url}/studies/{header.study_uid}/series/{header.series_uid}/instances/{header.sop_uid}"
    )
    return item


def _failure(header: InstanceHeader, reason: int) -> Dataset:
    item = _named(header)
    item.FailureReason = reason
    return item


def _other_failure(reason: int) -> Dataset:
    item = Dataset()
    item.FailureReason = reason
    return item


def _named(header: InstanceHeader) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.sop_class_uid
    item.ReferencedSOPInstanceUID = header.sop_uid
    return item
