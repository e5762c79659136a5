"""A request that is sent twice makes one job: the key that a client gives stands for the job it made.

The `Idempotency-Key` header (IETF draft-ietf-httpapi-idempotency-key-header). A job's own identity already makes the
same series with the same options one job; the key also holds when settings or the series have changed meanwhile.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Session

from service.records import IdempotencyRecord, JobRecord
from worker.errors import PenumbraError

KEPT_S: Final = 7 * 24 * 3600.0
MAX_KEY_CHARACTERS: Final = 200


class KeyReused(PenumbraError):
    """An idempotency key came with another request than the first time."""

    code = "idempotency-key-reused"
    default_message = "This Idempotency-Key was used for another request before."
    default_remedy = "Use a new key for each new request, and the same key only to repeat one."


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """A client's key together with what it asks.

    Attributes:
        key: as the client gave it.
        client: who gave it; the same key of another client is another key.
        fingerprint: SHA-256 of the request, hexadecimal.
    """

    key: str
    client: str
    fingerprint: str

    @property
    def key_sha256(self) -> str:
        """What is kept of the key."""
        return hashlib.sha256(f"{self.client}\n{self.key}".encode()).hexdigest()


def fingerprint_of(*texts: str, files: Iterable[Path] = ()) -> str:
    """SHA-256 over texts and the content of files, hexadecimal."""
    digest = hashlib.sha256("\n".join(texts).encode())
    for path in files:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def job_of_key(session: Session, wanted: IdempotencyKey) -> JobRecord | None:
    """The job that this key made before, if it is still there.

    Raises:
        KeyReused: the key was given with another request.
    """
    known = session.get(IdempotencyRecord, wanted.key_sha256)
    if known is None or known.created_at < time.time() - KEPT_S:
        return None
    if known.fingerprint != wanted.fingerprint:
        raise KeyReused
    return session.get(JobRecord, known.job_id)


def remember(session: Session, wanted: IdempotencyKey, job_id: str) -> None:
    """The key stands for this job from now on; keys that are too old are forgotten."""
    session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.created_at < time.time() - KEPT_S))
    session.merge(
        IdempotencyRecord(
            key_sha256=wanted.key_sha256,
            fingerprint=wanted.fingerprint,
            job_id=job_id,
            created_at=time.time(),
        )
    )
