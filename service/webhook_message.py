"""One announcement as it goes over the wire: Standard Webhooks 1.0, for which receivers find libraries.

Identity only: what happened to which job and series. No patient, no picture; the receiver asks REST for more.
"""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.records import JobEventRecord, JobRecord
from service.schemas import JOBS_PATH


@dataclass(frozen=True, kw_only=True)
class WebhookMessage:
    """What is announced. `id` stays the same however often it is sent, so that a receiver can tell repetitions."""

    id: str
    body: bytes

    def headers(self, secret: bytes) -> dict[str, str]:
        """The headers of one attempt, made now: a receiver refuses what was signed long ago."""
        sent_at = str(int(time.time()))
        signed = f"{self.id}.{sent_at}.".encode() + self.body
        signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
        return {
            "Content-Type": "application/json",
            "User-Agent": "penumbra",
            "webhook-id": self.id,
            "webhook-timestamp": sent_at,
            "webhook-signature": f"v1,{signature}",
        }


def announcement(event: JobEventRecord, job: JobRecord | None) -> WebhookMessage:
    """The message that a job entered a state. A job that was deleted meanwhile is named all the same."""
    facts: dict[str, Any] = {"job_id": event.job_id, "state": event.state}
    if job is not None:
        facts |= {
            "series_instance_uid": job.series_uid,
            "study_instance_uid": job.study_uid,
            "sender": job.sender,
            "revision": job.revision,
            "rerun_of": job.rerun_of,
            "superseded_by": job.superseded_by,
            "reason": job.reason if event.state == job.state else None,
            "link": f"{JOBS_PATH}/{job.id}",
        }
    return _message(f"{event.job_id}.{event.id}", f"job.{event.state}", event.at, facts)


def ping(name: str) -> WebhookMessage:
    """A message that means nothing, to try a receiver out."""
    now = time.time()
    return _message(f"ping.{int(now * 1000)}", "ping", now, {"webhook": name})


def _message(message_id: str, kind: str, at: float, data: Mapping[str, Any]) -> WebhookMessage:
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    body = {"type": kind, "timestamp": moment, "data": data}
    return WebhookMessage(id=message_id, body=json.dumps(body).encode())
