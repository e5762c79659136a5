"""The tables. Times are seconds since 1970 (UTC): leases compare alike in SQLite and PostgreSQL."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_UID = String(64)


class Record(DeclarativeBase):
    """Base of all tables."""


class SeriesRecord(Record):
    """A series, from its first instance on."""

    __tablename__ = "series"

    series_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    study_uid: Mapped[str] = mapped_column(_UID)
    modality: Mapped[str] = mapped_column(String(16))
    sender: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(8))
    called: Mapped[str | None] = mapped_column(String(16))
    """The AE title that the sender called us by; None where it did not come by DICOM."""
    instance_count: Mapped[int] = mapped_column(Integer, default=0)
    pending: Mapped[bool] = mapped_column(default=True)
    """Has instances that no job has taken up yet."""
    revision: Mapped[int] = mapped_column(Integer, default=0)
    """How many states of this series have been submitted."""
    first_received_at: Mapped[float] = mapped_column(Float)
    last_received_at: Mapped[float] = mapped_column(Float)

    __table_args__ = (Index("series_pending", "pending", "last_received_at"),)


class InstanceRecord(Record):
    """One received DICOM object. `path` is relative to the inbox and made from `sha256`, never from a UID."""

    __tablename__ = "instance"

    sop_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    series_uid: Mapped[str] = mapped_column(ForeignKey("series.series_uid"), index=True)
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(_UID)
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the dataset's bytes, without preamble and file meta information."""
    path: Mapped[str] = mapped_column(String(128))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sender: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[float] = mapped_column(Float)


class JobRecord(Record):
    """One job, the queue's entry and the client's answer. Only `service/jobs.py` and the ledger write it."""

    __tablename__ = "job"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    dedup_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    version: Mapped[int] = mapped_column(BigInteger, index=True)
    state: Mapped[str] = mapped_column(String(12), index=True)
    series_uid: Mapped[str] = mapped_column(ForeignKey("series.series_uid"), index=True)
    study_uid: Mapped[str] = mapped_column(_UID)
    sender: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(8))
    revision: Mapped[int] = mapped_column(Integer, default=0)
    superseded_by: Mapped[str | None] = mapped_column(String(36))
    instance_count: Mapped[int] = mapped_column(Integer, default=0)
    bundle: Mapped[str | None] = mapped_column(String(64))
    passes: Mapped[int] = mapped_column(Integer)
    seed: Mapped[int] = mapped_column(BigInteger)
    priority: Mapped[int] = mapped_column(Integer, default=3)
    """0 (most urgent) to 9; see `service/priority.py`."""
    rerun_of: Mapped[str | None] = mapped_column(String(36))
    """The job whose series was to be contoured again, otherwise."""
    deliver: Mapped[bool] = mapped_column(default=True)
    """Whether the result goes to nodes; that of a re-run to compare with need not."""
    rule: Mapped[str | None] = mapped_column(String(64))
    """The routing rule that it follows."""
    deliver_to: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """AE titles that a rule sends the result to; None means as the settings say for its sender."""

    stage: Mapped[str] = mapped_column(String(32), default="")
    structure: Mapped[str | None] = mapped_column(String(32))
    passes_done: Mapped[int] = mapped_column(Integer, default=0)
    passes_total: Mapped[int] = mapped_column(Integer, default=0)
    percent: Mapped[float] = mapped_column(Float, default=0.0)
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    has_result: Mapped[bool] = mapped_column(default=False)

    attempts: Mapped[int] = mapped_column(Integer, default=0)
    started_at: Mapped[float | None] = mapped_column(Float)
    """When the latest attempt began."""
    fence: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[float | None] = mapped_column(Float)
    worker: Mapped[str | None] = mapped_column(String(128))
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    enqueued_at: Mapped[float | None] = mapped_column(Float)
    """When a worker was last told of it."""
    enqueue_count: Mapped[int] = mapped_column(Integer, default=0)

    created_at: Mapped[float] = mapped_column(Float, index=True)
    updated_at: Mapped[float] = mapped_column(Float)

    deliveries: Mapped[list["DeliveryRecord"]] = relationship(order_by="DeliveryRecord.node", viewonly=True)


class DeliveryRecord(Record):
    """One result on its way to one node."""

    __tablename__ = "delivery"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    node: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    fence: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[float | None] = mapped_column(Float)
    worker: Mapped[str | None] = mapped_column(String(128))
    last_error: Mapped[str | None] = mapped_column(Text)
    target: Mapped[str | None] = mapped_column(String(16))
    """The node that the next attempt goes to, or that took it; None means `node`, else one of its fallbacks."""
    remarks: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Warnings and refusals of further objects, in words."""
    objects: Mapped[list[list[str]] | None] = mapped_column(JSON(none_as_null=True))
    """What the node has stored: SOP class UID and SOP Instance UID of each."""
    enqueued_at: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[float] = mapped_column(Float)

    commitments: Mapped[list["CommitmentRecord"]] = relationship(
        order_by="CommitmentRecord.created_at", viewonly=True, lazy="selectin"
    )

    __table_args__ = (Index("delivery_once", "job_id", "node", unique=True),)


class CommitmentRecord(Record):
    """A request for storage commitment: waiting -> asked -> committed | refused | unconfirmed."""

    __tablename__ = "commitment"

    transaction_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(ForeignKey("delivery.id"), index=True)
    node: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float] = mapped_column(Float)
    """When the node is to be asked (again)."""
    deadline: Mapped[float] = mapped_column(Float)
    """When it is given up to wait for an answer."""
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[float] = mapped_column(Float)


class PullRecord(Record):
    """A series on its way from an archive: waiting -> running -> done | incomplete | failed."""

    __tablename__ = "pull"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    node: Mapped[str] = mapped_column(String(16))
    method: Mapped[str] = mapped_column(String(4))
    state: Mapped[str] = mapped_column(String(12), index=True)
    study_uid: Mapped[str] = mapped_column(_UID)
    series_uid: Mapped[str] = mapped_column(_UID, index=True)
    announced: Mapped[int | None] = mapped_column(Integer)
    """How many instances the archive says the series has."""
    received: Mapped[int] = mapped_column(Integer, default=0)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float] = mapped_column(Float)
    """When it is due; while it runs, when whoever does it is taken to be dead."""
    reason: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float] = mapped_column(Float)
    updated_at: Mapped[float] = mapped_column(Float)


class OutboxRecord(Record):
    """A message that must reach the broker. Written in the transaction that makes it necessary."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(12))
    """`segment` or `deliver`."""
    ref: Mapped[str] = mapped_column(String(36))
    not_before: Mapped[float] = mapped_column(Float)
    done_at: Mapped[float | None] = mapped_column(Float)

    __table_args__ = (Index("outbox_waiting", "done_at", "not_before"),)


class IdempotencyRecord(Record):
    """A request that a client may send again, and the job it made. Keys are kept as hashes."""

    __tablename__ = "idempotency"

    key_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was asked, so that a key that is used for something else is noticed."""
    job_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[float] = mapped_column(Float, index=True)


class JobEventRecord(Record):
    """A job entered a state. Written in the transaction that changes it; `service/courier.py` announces it."""

    __tablename__ = "job_event"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(12))
    at: Mapped[float] = mapped_column(Float, index=True)


class WebhookRecord(Record):
    """How far a receiver has got in the list of changes. Its address and secret are in the settings."""

    __tablename__ = "webhook"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    last_event_id: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    """To deliver the change that comes next."""
    skipped: Mapped[int] = mapped_column(Integer)
    """Changes that were given up, in all."""
    not_before: Mapped[float | None] = mapped_column(Float)
    lease_until: Mapped[float | None] = mapped_column(Float)
    last_error: Mapped[str | None] = mapped_column(String(200))


class ChangeCounter(Record):
    """One row, one number that grows with every change of a job. Its lock puts changes in their order."""

    __tablename__ = "change_counter"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class AuditRecord(Record):
    """One event of the audit log (`service/audit.py`). Triggers refuse to change or delete a row."""

    __tablename__ = "audit"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[float] = mapped_column(Float, index=True)
    action: Mapped[str] = mapped_column(String(32), index=True)
    outcome: Mapped[str] = mapped_column(String(8))
    actor: Mapped[str] = mapped_column(String(128))
    role: Mapped[str | None] = mapped_column(String(16))
    address: Mapped[str | None] = mapped_column(String(64))
    series_uid: Mapped[str | None] = mapped_column(_UID, index=True)
    study_uid: Mapped[str | None] = mapped_column(_UID)
    job_id: Mapped[str | None] = mapped_column(String(36), index=True)
    subject: Mapped[str | None] = mapped_column(String(128))
    detail: Mapped[str] = mapped_column(Text)
    """Further facts as canonical JSON, kept as text because it is hashed."""
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRecord(Record):
    """One row: the number and hash of the newest event, so that a log that was cut off shows."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


class PeerContactRecord(Record):
    """When somebody last asked for an association under an AE title from an address."""

    __tablename__ = "peer_contact"

    ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    called: Mapped[str] = mapped_column(String(16))
    at: Mapped[float] = mapped_column(Float, index=True)
    refused: Mapped[str | None] = mapped_column(String(64))
    """Why it was refused; None if it was accepted."""


class TokenRecord(Record):
    """An API token (`service/tokens.py`). Its text is nowhere, only the SHA-256 of it."""

    __tablename__ = "token"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Float)
    created_by: Mapped[str] = mapped_column(String(128))
    expires_at: Mapped[float | None] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)
    last_used_at: Mapped[float | None] = mapped_column(Float)


class JobOwnerRecord(Record):
    """Who submitted a job over REST: token or login. Equal submissions of several people are one job."""

    __tablename__ = "job_owner"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128), primary_key=True)


class VerdictRecord(Record):
    """What a reviewer said of one structure. Rows are only added: the newest of a structure counts."""

    __tablename__ = "verdict"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), index=True)
    structure: Mapped[str] = mapped_column(String(32))
    grade: Mapped[str | None] = mapped_column(String(16))
    """None takes back what was said before."""
    note: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(String(160))
    reviewer_name: Mapped[str] = mapped_column(String(128))
    """As people knew the reviewer then: a login's name, a token's label."""
    at: Mapped[float] = mapped_column(Float)


class LookedRecord(Record):
    """A reviewer has looked at a place of the review (`service/looked.py`). Taken back, the row goes."""

    __tablename__ = "looked"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    place: Mapped[str] = mapped_column(String(96), primary_key=True)
    """The key of `worker/review_document.py:ReviewPlace`."""
    reviewer: Mapped[str] = mapped_column(String(160), primary_key=True)
    reviewer_name: Mapped[str] = mapped_column(String(128))
    at: Mapped[float] = mapped_column(Float)


class LoginRecord(Record):
    """A login of the page (`service/logins.py`). The cookie is nowhere, only its SHA-256."""

    __tablename__ = "login"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[float] = mapped_column(Float, index=True)
    ended_at: Mapped[float | None] = mapped_column(Float)
