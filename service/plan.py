"""What the routing rules make of a received series: options for its job, or the reason why it gets none."""

from dataclasses import dataclass
from typing import cast

from service.database import Database
from service.inbox import Inbox
from service.job_wishes import JobWishes
from service.records import SeriesRecord
from service.routing import Route, route
from service.rules import Rule
from service.series_facts import facts_of
from service.settings import ServiceSettings
from worker.errors import PenumbraError

REASON_CHARACTERS = 2000


class NotRouted(PenumbraError):
    """No routing rule matches the series. It is kept, and can be contoured by hand."""

    code = "not-routed"
    default_message = "No routing rule matches the series, so it was kept and not contoured."
    default_remedy = "Retry the job to contour it all the same, or add a rule that matches and retry it."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The rule that a series follows; None where there are no rules, or none matches."""

    rule: Rule | None = None
    refusal: NotRouted | None = None
    """Why no rule matches."""

    def completed(self, wishes: JobWishes) -> JobWishes:
        """The wishes, and what the rule says where nothing is wished for."""
        if self.rule is None:
            return wishes
        action = self.rule.then
        ruled = JobWishes(bundle=action.bundle, passes=action.passes, priority=action.priority)
        given = {name: value for name, value in wishes.items() if value is not None}
        return cast(JobWishes, {**ruled, **given})

    @property
    def name(self) -> str | None:
        """The rule's name."""
        return None if self.rule is None else self.rule.name


class Planner:
    """Reads series and asks the rules, outside of any writing transaction."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._inbox = Inbox(settings, database)

    def plan(self, series_uid: str) -> Plan:
        """The plan for what has been received of a series. Without rules every series is contoured."""
        book = self._settings.rule_book
        with self._database.read() as session:
            series = session.get(SeriesRecord, series_uid)
        if book is None or series is None:
            return Plan()
        files = [self._inbox.path(instance) for instance in self._inbox.series(series_uid)]
        called = series.called or self._settings.ae_title
        found = route(facts_of(files, sender=series.sender, called=called), book)
        return Plan(rule=found.rule, refusal=_refusal(found))


def _refusal(found: Route) -> NotRouted | None:
    if found.rule is not None:
        return None
    why = found.why_not
    shown = why if len(why) <= REASON_CHARACTERS else f"{why[:REASON_CHARACTERS]} …"
    return NotRouted(f"{NotRouted.default_message} {shown}")
