"""What can happen, in our words and in those of PS3.15 A.5.3 (event identifiers of CID 400, types of CID 401)."""

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """One kind of event in the audit log. The value is what the table and the export say."""

    STARTED = "started"
    STOPPED = "stopped"
    AUDIT_READ = "audit-read"
    RECEIVED = "received"
    CONFLICT = "conflicting-instance"
    SUBMITTED = "submitted"
    CANCEL_ASKED = "cancel-asked"
    RETRIED = "retried"
    RERUN = "rerun"
    PRIORITY_CHANGED = "priority-changed"
    JOB_ENDED = "job-ended"
    DOWNLOADED = "downloaded"
    VERDICT_GIVEN = "verdict-given"
    VERDICTS_EXPORTED = "verdicts-exported"
    LOOKED_AT = "looked-at"
    LOOK_TAKEN_BACK = "look-taken-back"
    QUERIED = "queried"
    PULL_ASKED = "pull-asked"
    PULLED = "pulled"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery-failed"
    RESEND_ASKED = "resend-asked"
    COMMITTED = "storage-committed"
    NOT_COMMITTED = "storage-not-committed"
    NOT_ROUTED = "not-routed"
    DELETED = "deleted"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    ECHOED = "echoed"
    REFUSED = "refused"
    LOGGED_IN = "logged-in"
    LOGGED_OUT = "logged-out"
    TOKEN_CREATED = "token-created"
    TOKEN_REVOKED = "token-revoked"
    WEBHOOK_CREATED = "webhook-created"
    WEBHOOK_DELETED = "webhook-deleted"


class Code(NamedTuple):
    """A coded term of the DICOM Controlled Terminology."""

    value: str
    meaning: str


class Event(NamedTuple):
    """How PS3.15 says it: event, EventActionCode (C, R, U, D, E), and event type where there is one."""

    identifier: Code
    action_code: str
    type: Code | None = None


APPLICATION = Code("110100", "Application Activity")
AUDIT_LOG_USED = Code("110101", "Audit Log Used")
ACCESSED = Code("110103", "DICOM Instances Accessed")
TRANSFERRED = Code("110104", "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", "DICOM Study Deleted")
EXPORT = Code("110106", "Export")
NETWORK_ENTRY = Code("110108", "Network Entry")
PROCEDURE = Code("110111", "Procedure Record")
QUERY = Code("110112", "Query")
ALERT = Code("110113", "Security Alert")
AUTHENTICATION = Code("110114", "User Authentication")

EVENTS: dict[Action, Event] = {
    Action.STARTED: Event(APPLICATION, "E", Code("110120", "Application Start")),
    Action.STOPPED: Event(APPLICATION, "E", Code("110121", "Application Stop")),
    Action.AUDIT_READ: Event(AUDIT_LOG_USED, "R"),
    Action.RECEIVED: Event(TRANSFERRED, "C"),
    Action.CONFLICT: Event(ALERT, "E", Code("110135", "Object Security Attributes Changed")),
    Action.SUBMITTED: Event(PROCEDURE, "C"),
    Action.CANCEL_ASKED: Event(PROCEDURE, "U"),
    Action.RETRIED: Event(PROCEDURE, "U"),
    Action.RERUN: Event(PROCEDURE, "C"),
    Action.PRIORITY_CHANGED: Event(PROCEDURE, "U"),
    Action.JOB_ENDED: Event(ACCESSED, "C"),
    Action.DOWNLOADED: Event(EXPORT, "R"),
    Action.VERDICT_GIVEN: Event(PROCEDURE, "U"),
    Action.VERDICTS_EXPORTED: Event(EXPORT, "R"),
    Action.LOOKED_AT: Event(PROCEDURE, "U"),
    Action.LOOK_TAKEN_BACK: Event(PROCEDURE, "U"),
    Action.QUERIED: Event(QUERY, "E"),
    Action.PULL_ASKED: Event(QUERY, "E"),
    Action.PULLED: Event(TRANSFERRED, "C"),
    Action.DELIVERED: Event(TRANSFERRED, "R"),
    Action.DELIVERY_FAILED: Event(TRANSFERRED, "R"),
    Action.RESEND_ASKED: Event(PROCEDURE, "U"),
    Action.COMMITTED: Event(ACCESSED, "R"),
    Action.NOT_COMMITTED: Event(ACCESSED, "R"),
    Action.NOT_ROUTED: Event(PROCEDURE, "C"),
    Action.DELETED: Event(STUDY_DELETED, "D"),
    Action.BACKED_UP: Event(EXPORT, "R"),
    Action.RESTORED: Event(ALERT, "E", Code("110131", "Software Configuration")),
    Action.ECHOED: Event(NETWORK_ENTRY, "E", Code("110124", "Attach")),
    Action.REFUSED: Event(ALERT, "E", Code("110126", "Node Authentication")),
    Action.LOGGED_IN: Event(AUTHENTICATION, "E", Code("110122", "Login")),
    Action.LOGGED_OUT: Event(AUTHENTICATION, "E", Code("110123", "Logout")),
    Action.TOKEN_CREATED: Event(ALERT, "E", Code("110137", "User Security Attributes Changed")),
    Action.TOKEN_REVOKED: Event(ALERT, "E", Code("110137", "User Security Attributes Changed")),
    Action.WEBHOOK_CREATED: Event(ALERT, "E", Code("110129", "Security Configuration")),
    Action.WEBHOOK_DELETED: Event(ALERT, "E", Code("110129", "Security Configuration")),
}
