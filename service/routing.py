"""Which rule a series follows, and why: every condition is judged, so that the answer can be explained in words."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from service.rules import Conditions, Range, Rule, RuleBook
from service.series_facts import SeriesFacts

CASE_COUNTS: Final = frozenset({"sender", "called"})
_WORDS: Final = {
    "modality": "Modality",
    "body_part": "Body Part Examined",
    "study_description": "Study Description",
    "series_description": "Series Description",
    "protocol": "Protocol Name",
    "station": "Station Name",
    "sender": "sender",
    "called": "called AE title",
    "slices": "number of slices",
    "thickness_mm": "Slice Thickness in mm",
}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One condition, whether it holds, and that in words which do not quote the series."""

    condition: str
    holds: bool
    wanted: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One rule, tried on a series."""

    rule: Rule
    when: tuple[Judged, ...]
    unless: tuple[Judged, ...]

    @property
    def matches(self) -> bool:
        """Whether the rule is the series'."""
        return all(each.holds for each in self.when) and not any(each.holds for each in self.unless)

    @property
    def hindrances(self) -> tuple[str, ...]:
        """Why it does not match, in words that do not quote the series."""
        missed = [f"{_WORDS[j.condition]} is not {j.wanted}" for j in self.when if not j.holds]
        excluded = [f"{_WORDS[j.condition]} is {j.wanted}, which excludes it" for j in self.unless if j.holds]
        return (*missed, *excluded)


@dataclass(frozen=True, kw_only=True)
class Route:
    """What the rules say of a series: the rule that it follows, or None, and what was tried on the way."""

    rule: Rule | None
    trials: tuple[Trial, ...]

    @property
    def why_not(self) -> str:
        """Why no rule matches, in one sentence per rule; quotes nothing of the series."""
        return " ".join(f"{trial.rule.name}: {'; '.join(trial.hindrances)}." for trial in self.trials)


def route(facts: SeriesFacts, book: RuleBook) -> Route:
    """Try the rules in order, up to the first that matches."""
    trials: list[Trial] = []
    for rule in book.rules:
        trials.append(Trial(rule=rule, when=judge(rule.when, facts), unless=judge(rule.unless, facts)))
        if trials[-1].matches:
            return Route(rule=rule, trials=tuple(trials))
    return Route(rule=None, trials=tuple(trials))


def judge(conditions: Conditions, facts: SeriesFacts) -> tuple[Judged, ...]:
    """Every condition that is set, held against the facts."""
    return tuple(_judge(name, getattr(conditions, name), facts.value(name)) for name in conditions.given)


def words_for(condition: str) -> str:
    """What a condition is about, as people say it."""
    return _WORDS[condition]


def _judge(name: str, wanted: Range | str | tuple[str, ...], value: str | float | None) -> Judged:
    if isinstance(wanted, Range):
        return Judged(condition=name, holds=_is_within(value, wanted), wanted=_range_words(wanted))
    patterns = (wanted,) if isinstance(wanted, str) else wanted
    fits = any(_pattern(each, case_counts=name in CASE_COUNTS).fullmatch(str(value)) for each in patterns)
    return Judged(condition=name, holds=bool(value) and fits, wanted=" or ".join(patterns))


def _is_within(value: str | float | None, wanted: Range) -> bool:
    if value is None or isinstance(value, str):
        return False
    return (wanted.min is None or value >= wanted.min) and (wanted.max is None or value <= wanted.max)


def _range_words(wanted: Range) -> str:
    if wanted.min is None:
        return f"at most {wanted.max:g}"
    if wanted.max is None:
        return f"at least {wanted.min:g}"
    return f"between {wanted.min:g} and {wanted.max:g}"


@cache
def _pattern(text: str, *, case_counts: bool) -> re.Pattern[str]:
    """Only * and ? have a meaning; [ ] are themselves, unlike in `fnmatch`."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in text)
    return re.compile("".join(parts), re.DOTALL | (0 if case_counts else re.IGNORECASE))
