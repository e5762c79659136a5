"""Searches (QIDO-RS, PS3.18 10.6): which studies, series or instances match, and what is told of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal

from pydicom import Dataset

from service.dicomweb.headers import INSTANCE_TAGS, SERIES_TAGS, STUDY_TAGS, json_of, read_header
from service.dicomweb.holdings import MOST_STUDIES, HeldObject, HeldSeries, HeldStudy, Holdings
from service.dicomweb.matching import Condition, condition, tag_path
from service.problems import Problem

Level = Literal["studies", "series", "instances"]
Found = tuple[dict[str, Any], str]

STUDY_UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
TAGS: Final[dict[Level, tuple[int, ...]]] = {
    "studies": STUDY_TAGS,
    "series": SERIES_TAGS,
    "instances": INSTANCE_TAGS,
}
USUAL_LIMIT, MOST_LIMIT = 100, 1000
MOST_PARAMETERS: Final = 64
FUZZY_IGNORED: Final = "fuzzy matching is not supported; only literal matching was performed"
NOT_ALL_SEARCHED: Final = f"only the newest {MOST_STUDIES} studies were searched"


@dataclass(frozen=True, kw_only=True)
class Query:
    """One search.

    Attributes:
        level: what is searched for.
        conditions: all of them must hold.
        more: attributes that the answer is to have besides the usual ones.
        everything: the answer is to have all that is known (includefield=all).
        limit: at most so many results.
        offset: so many are skipped.
        warnings: texts for the Warning header.
    """

    level: Level
    conditions: tuple[Condition, ...]
    more: frozenset[int] = frozenset()
    everything: bool = False
    limit: int = USUAL_LIMIT
    offset: int = 0
    warnings: list[str] = field(default_factory=list)

    def uids(self, tag: int) -> list[str] | None:
        """The UIDs that a condition on this attribute names; None where all will do."""
        lists = [each.uids for each in self.conditions if each.path == (tag,) and each.value not in {"", "*"}]
        if not lists:
            return None
        return sorted(set(lists[0]).intersection(*lists[1:]))


def parse_query(level: Level, parameters: Iterable[tuple[str, str]], **fixed: str) -> Query:
    """A search from the parameters of its URL; `fixed` are the UIDs in its path, by keyword.

    Raises:
        Problem: 400, a parameter that cannot be understood.
    """
    given = list(parameters)
    if len(given) > MOST_PARAMETERS:
        raise _bad_number("parameters")
    control = {name: value for name, value in given if name in {"limit", "offset", "fuzzymatching"}}
    fields = [part for name, value in given if name == "includefield" for part in value.split(",") if part]
    conditions = [
        condition(name, value)
        for name, value in [*given, *fixed.items()]
        if name not in {"limit", "offset", "fuzzymatching", "includefield"}
    ]
    return Query(
        level=level,
        conditions=tuple(conditions),
        more=frozenset(tag_path(name)[0] for name in fields if name != "all"),
        everything="all" in fields,
        limit=min(_number(control, "limit", USUAL_LIMIT), MOST_LIMIT),
        offset=_number(control, "offset", 0),
        warnings=[FUZZY_IGNORED] if control.get("fuzzymatching") == "true" else [],
    )


def search(holdings: Holdings, query: Query, base_url: str) -> list[dict[str, Any]]:
    """The results, in the DICOM JSON model."""
    studies = holdings.studies(query.uids(STUDY_UID))
    if len(studies) > MOST_STUDIES:
        query.warnings.append(NOT_ALL_SEARCHED)
    found = (
        result
        for study in studies[:MOST_STUDIES]
        for result in _SEARCHES[query.level](study, query, f"{base_url}/studies/{study.study_uid}")
    )
    return list(islice(found, query.offset, query.offset + query.limit))


def _studies(study: HeldStudy, query: Query, url: str) -> Iterator[dict[str, Any]]:
    headers = [header for series in study.series if (header := _header(series.objects, query)) is not None]
    if not headers:
        return
    facts = Dataset()
    facts.ModalitiesInStudy = sorted({str(header.get("Modality", "")) for header in headers} - {""})
    facts.NumberOfStudyRelatedSeries = len(study.series)
    facts.NumberOfStudyRelatedInstances = sum(len(series.objects) for series in study.series)
    facts.RetrieveURL = url
    facts.InstanceAvailability = "ONLINE"
    first = headers[0]
    if all(_holds(each, [first, facts]) for each in query.conditions):
        yield _answer(first, facts, query, "studies")


def _series(study: HeldStudy, query: Query, url: str) -> Iterator[dict[str, Any]]:
    wanted = query.uids(SERIES_UID)
    for series in study.series:
        if wanted is not None and series.series_uid not in wanted:
            continue
        header = _header(series.objects, query)
        if header is None:
            continue
        facts = _series_facts(series, f"{url}/series/{series.series_uid}")
        if all(_holds(each, [header, facts]) for each in query.conditions):
            yield _answer(header, facts, query, "studies", "series")


def _instances(study: HeldStudy, query: Query, url: str) -> Iterator[dict[str, Any]]:
    series_wanted, wanted = query.uids(SERIES_UID), query.uids(SOP_UID)
    for series in study.series:
        if series_wanted is not None and series.series_uid not in series_wanted:
            continue
        for each in series.objects:
            if wanted is not None and each.sop_uid not in wanted:
                continue
            header = _header([each], query)
            if header is None:
                continue
            facts = Dataset()
            facts.RetrieveURL = f"{url}/series/{each.series_uid}/instances/{each.sop_uid}"
            facts.InstanceAvailability = "ONLINE"
            if all(_holds(condition, [header, facts]) for condition in query.conditions):
                yield _answer(header, facts, query, "studies", "series", "instances")


_SEARCHES: Final = {"studies": _studies, "series": _series, "instances": _instances}


def _series_facts(series: HeldSeries, url: str) -> Dataset:
    facts = Dataset()
    facts.NumberOfSeriesRelatedInstances = len(series.objects)
    facts.RetrieveURL = url
    facts.InstanceAvailability = "ONLINE"
    return facts


def _header(objects: Sequence[HeldObject], query: Query) -> Dataset | None:
    """The header of the first object that is readable; they agree on study and series."""
    tags = query.more | {each.path[0] for each in query.conditions}
    return next((found for each in objects if (found := read_header(each.path, tags)) is not None), None)


def _holds(wanted: Condition, datasets: Sequence[Dataset]) -> bool:
    return any(wanted.holds(dataset) for dataset in datasets)


def _answer(header: Dataset, facts: Dataset, query: Query, *levels: Level) -> dict[str, Any]:
    """What is told of a result: its level's attributes, those above it, and what was asked for."""
    usual = {tag for level in levels for tag in TAGS[level]}
    asked = query.more | {each.path[0] for each in query.conditions}
    told = Dataset()
    for tag in header.keys():
        if query.everything or int(tag) in usual | asked:
            told[tag] = header.get_item(tag)
    return dict(sorted({**json_of(told), **json_of(facts)}.items()))


def _number(control: dict[str, str], name: str, usual: int) -> int:
    text = control.get(name, str(usual))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise _bad_number(name)
    return int(text)


def _bad_number(name: str) -> Problem:
    return Problem(
        400,
        "invalid-request",
        detail=f"`{name}` is no number, or too large.",
        remedy="Give limit and offset as whole numbers of 0 or more.",
    )
