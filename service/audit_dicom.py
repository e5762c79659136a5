"""The audit log as DICOM audit messages: PS3.15 A.5, message schema of A.5.1, contents of A.5.3.

No message names a patient, since Penumbra's log knows none: studies, series and jobs go by UID. Each carries its
number and hash, so that what was exported can be compared with the log later.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from sqlalchemy.orm import Session

from service.audit_actions import EVENTS, Action, Code
from service.audit_chain import events
from service.records import AuditRecord

US = "penumbra"
DICOM, OURS = "DCM", "99PENUMBRA"
SUCCESS, MINOR_FAILURE = "0", "4"
IP_ADDRESS = "2"
APPLICATION_SERVER = "4"
SYSTEM_OBJECT = "2"
REPORT, SECURITY_RESOURCE, JOB = "3", "13", "20"  # A.5.1.2.2

SOURCE = Code("110153", "Source Role ID")
DESTINATION = Code("110152", "Destination Role ID")
APPLICATION = Code("110150", "Application")
STUDY_UID = Code("110180", "Study Instance UID")
INCOMING = frozenset({Action.RECEIVED, Action.CONFLICT, Action.PULLED})
OUTGOING = frozenset({Action.DELIVERED, Action.DELIVERY_FAILED, Action.DOWNLOADED})


def write_messages(session: Session, stream: IO[bytes], *, after: int = 0) -> int:
    """Write the events after that number as one XML document, and say how many. They are not held in memory."""
    count = 0
    stream.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<AuditMessages>\n')
    for event in events(session, after=after):
        stream.write(ElementTree.tostring(message(event), encoding="utf-8") + b"\n")
        count += 1
    stream.write(b"</AuditMessages>\n")
    return count


def message(event: AuditRecord) -> Element:
    """One event as an `AuditMessage`."""
    root = Element("AuditMessage")
    root.append(_event_identification(event))
    root.extend(_participants(event))
    source = SubElement(root, "AuditSourceIdentification", AuditSourceID=US)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})
    root.extend(_objects(event))
    return root


def _event_identification(event: AuditRecord) -> Element:
    meaning = EVENTS[Action(event.action)]
    is_good = event.outcome == "success"
    element = Element(
        "EventIdentification",
        EventActionCode=meaning.action_code,
        EventDateTime=datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=SUCCESS if is_good else MINOR_FAILURE,
    )
    _coded(element, "EventID", meaning.identifier)
    if meaning.type is not None:
        _coded(element, "EventTypeCode", meaning.type)
    _coded(element, "EventTypeCode", Code(event.action, event.action.replace("-", " ")), system=OURS)
    if not is_good:
        SubElement(element, "EventOutcomeDescription").text = event.detail
    return element


def _participants(event: AuditRecord) -> Iterator[Element]:
    """Who asked, then the application itself, then the node that something was sent to."""
    action = Action(event.action)
    kind, _, name = event.actor.partition(":")
    is_node = kind == "node"
    actor = _participant(name if is_node else event.actor, is_requestor=True)
    if event.address:
        actor.attrib |= {"NetworkAccessPointID": event.address, "NetworkAccessPointTypeCode": IP_ADDRESS}
    if is_node and action in INCOMING:
        _coded(actor, "RoleIDCode", SOURCE)
    yield actor
    ours = _participant(US, is_requestor=False)
    _coded(ours, "RoleIDCode", _our_role(action))
    yield ours
    if action in OUTGOING and event.subject and action is not Action.DOWNLOADED:
        node = _participant(event.subject, is_requestor=False)
        _coded(node, "RoleIDCode", DESTINATION)
        yield node


def _our_role(action: Action) -> Code:
    if action in INCOMING:
        return DESTINATION
    return SOURCE if action in OUTGOING else APPLICATION


def _participant(user_id: str, *, is_requestor: bool) -> Element:
    return Element("ActiveParticipant", UserID=user_id, UserIsRequestor=str(is_requestor).lower())


def _objects(event: AuditRecord) -> Iterator[Element]:
    """The study with its series, the job, another thing it was done to, and the entry of the log itself."""
    if event.study_uid:
        yield _object(event.study_uid, STUDY_UID, REPORT, {"SeriesInstanceUID": event.series_uid})
    elif event.series_uid:
        yield _object(event.series_uid, _ours("series"), REPORT, {"SeriesInstanceUID": event.series_uid})
    if event.job_id:
        yield _object(event.job_id, _ours("job"), JOB, {})
    if event.subject:
        yield _object(event.subject, _ours("subject"), SECURITY_RESOURCE, {})
    facts = {name: str(value) for name, value in json.loads(event.detail).items()}
    entry = {"hash": event.hash, "previous_hash": event.previous_hash, "role": event.role, **facts}
    yield _object(str(event.seq), _ours("audit log entry"), SECURITY_RESOURCE, entry)


def _object(identifier: str, kind: Code, role: str, details: dict[str, str | None]) -> Element:
    element = Element(
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode=SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=role,
    )
    system = DICOM if kind is STUDY_UID else OURS
    _coded(element, "ParticipantObjectIDTypeCode", kind, system=system)
    SubElement(element, "ParticipantObjectName").text = kind.meaning
    for name, value in details.items():
        if value is not None:
            encoded = base64.b64encode(value.encode()).decode()
            SubElement(element, "ParticipantObjectDetail", type=name, value=encoded)
    return element


def _ours(name: str) -> Code:
    return Code(name.replace(" ", "-"), name)


def _coded(parent: Element, tag: str, code: Code, *, system: str = DICOM) -> None:
    named = {"csd-code": code.value, "codeSystemName": system, "originalText": code.meaning}
    SubElement(parent, tag, named)
