"""The states of a job, named without anything that keeps jobs."""

from typing import Literal

JobState = Literal["receiving", "queued", "running", "done", "rejected", "failed", "cancelled", "not-routed"]
