"""When the host's clock is set: what was to happen still happens, and nothing happens twice.

Everything that waits is a row with a time (`service/records.py`). A clock that was set back by hours leaves rows from
the future, which would wait as long; one set forward ends the leases of processes that live. The reconciler puts both
right. What only says when something was, the creation of a job say, stays as it was written.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy import exists, func, or_, select, update

from service.clock_rows import TOLERANCE_S, Mend, after_a_leap, from_the_future
from service.database import Database
from service.settings import ServiceSettings

FAR_S: Final = 24 * 3600.0

log = structlog.get_logger(__name__)


class Clock:
    """What a process knows of its host's clock. `now` and `steady` are replaced in tests."""

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        *,
        now: Callable[[], float] | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._database = database
        self._now, self._steady = now or time.time, steady
        self._first_drift = self._drift = self._now() - steady()
        self._agreed = True
        self._was_far = False

    def follow(self) -> bool:
        """If the clock was set forward since this was asked last: leases, quiet periods and deadlines begin anew.

        Returns:
            Whether one may go by the clock. False: it was set forward, and the database's was not.
        """
        drift = self._now() - self._steady()
        leap_s = drift - self._drift
        if leap_s > TOLERANCE_S:
            if not self.agrees():
                return False  # it is asked again, and the leap is remembered until then
            log.warning("the clock was set forward", seconds=round(leap_s))
            self._mend(after_a_leap(self._settings, self._now(), leap_s))
        self._drift = drift  # only now: a database that does not answer must not have it forgotten
        return True

    def mend_future(self) -> None:
        """Let nothing wait longer than it may: what lies in the future was written before the clock was set back."""
        apart_s = self._settings.lease_s if self._is_shared else 0.0  # two hosts that both agree, at most
        self._mend(from_the_future(self._settings, self._now(), apart_s=apart_s))

    def agrees(self) -> bool:
        """Whether the database's host has the same time; where not, this host must not judge what others do."""
        if not self._is_shared:  # it is a file of this host
            return True
        with self._database.read() as session:
            apart = float(session.scalar(select(func.date_part("epoch", func.clock_timestamp()))) or 0)
        apart -= self._now()
        before, self._agreed = self._agreed, abs(apart) < self._settings.lease_s / 2
        if before and not self._agreed:
            log.error("the clock is not the database's, nothing is judged here", seconds=round(apart))
        return self._agreed

    def is_far_ahead(self) -> bool:
        """Whether it was set forward by more than a day since the process began, and not back: age tells nothing."""
        ahead = self._now() - self._steady() - self._first_drift
        before, self._was_far = self._was_far, ahead > FAR_S
        if self._was_far and not before:
            log.error(
                "nothing is deleted by age: the clock was set forward by more than a day; set it right, or "
                "restart the service if it is right now",
                seconds=round(ahead),
            )
        return self._was_far

    @property
    def _is_shared(self) -> bool:
        return self._database.engine.dialect.name == "postgresql"

    def _mend(self, mends: Sequence[Mend]) -> None:
        with self._database.read() as session:  # nearly always there is nothing, and nobody is kept waiting
            if not session.scalar(select(or_(*(exists().where(mend.wrong) for mend in mends)))):
                return
        with self._database.write() as session:
            for mend in mends:
                session.execute(update(mend.table).where(mend.wrong).values(mend.right))
