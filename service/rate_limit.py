"""How often one may ask. Counted in this process's memory: with several API processes each counts for itself."""

import time
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.actor import Actor
from service.roles import READING
from service.settings_access import RateSettings

SET_BACK_S: Final = 5.0


@dataclass(frozen=True)
class Busy:
    """Too much was asked; so many whole seconds until there is room again."""

    retry_after_s: int


class RateLimits:
    """Moving windows: per token or login for what it asks, per address for what it is refused."""

    def __init__(self, settings: RateSettings) -> None:
        self._storage, self._latest = MemoryStorage(), 0.0
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._requests = parse(settings.requests)
        self._changes = parse(settings.changes)
        self._refusals = parse(settings.refusals)

    def ask(self, actor: Actor, method: str) -> Busy | None:
        """Count a request of somebody who was let in."""
        if actor.kind == "local":  # this machine, where no token is asked for
            return None
        if method not in READING and (busy := self._hit(self._changes, "changes", actor.user_id)):
            return busy
        return self._hit(self._requests, "requests", actor.user_id)

    def refuse(self, address: str) -> Busy | None:
        """Count a request of a stranger; a valid token from the same address is not kept out by these."""
        return self._hit(self._refusals, "refusals", address)

    def _hit(self, limit: RateLimitItem, *key: str) -> Busy | None:
        now = time.time()
        if now < self._latest - SET_BACK_S:  # or the windows would stay full until the clock is there again
            self._storage.reset()
        self._latest = now
        if self._limiter.hit(limit, *key):
            return None
        oldest = self._limiter.get_window_stats(limit, *key).reset_time
        return Busy(max(1, round(oldest - now)))
