"""`penumbra rules`: try routing rules on a series before the clinic does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import terminal

if TYPE_CHECKING:
    from service.routing import Judged, Route, Trial
    from service.rules import RuleBook
    from service.series_facts import SeriesFacts
    from service.settings import ServiceSettings

NOT_ROUTED = 3

rules = typer.Typer(help="Routing rules: which series is contoured, and how.", no_args_is_help=True)

RulesFile = Annotated[
    Path | None, typer.Option("--rules", help="A file of rules; that of the settings by default.")
]


@rules.command()
def test(
    series: Annotated[str, typer.Argument(help="A folder with one series, or the UID of one received.")],
    sender: Annotated[str, typer.Option(help="Calling AE title; whoever sent it, or none.")] = "",
    called: Annotated[str, typer.Option(help="AE title that was called.")] = "",
    file: RulesFile = None,
) -> None:
    """Say in words which rule a series follows, or why none; exit code 3 then. Example: penumbra rules test ct."""
    from service.routing import route
    from service.settings import ServiceSettings

    settings = ServiceSettings()
    book = _book(file, settings)
    facts = _facts(series, settings, sender=sender, called=called)
    _show_facts(facts)
    found = route(facts, book)
    for trial in found.trials:
        _show_trial(trial, facts)
    _show_outcome(found, settings, sender=facts.sender)
    if found.rule is None:
        raise typer.Exit(NOT_ROUTED)


@rules.command()
def check(file: RulesFile = None) -> None:
    """Check a file of rules and list them. Example: penumbra rules check --rules rules.yaml."""
    from service.settings import ServiceSettings

    book = _book(file, ServiceSettings())
    for number, rule in enumerate(book.rules, start=1):
        given = [*rule.when.given, *(f"unless {name}" for name in rule.unless.given)]
        _say(f"{number}. {rule.name}: {', '.join(given) or 'every series'}")


@rules.command()
def schema() -> None:
    """Print the JSON schema of rules, for editors. Example: penumbra rules schema > rules.schema.json."""
    from service.rules import schema as schema_of_rules

    terminal.output.print_json(json.dumps(schema_of_rules()))


def _book(file: Path | None, settings: ServiceSettings) -> RuleBook:
    from service.rules import RulesError, read_rules

    if file is None:
        if settings.rule_book is None:
            raise typer.BadParameter(
                "the settings name no rules: every series is contoured; give --rules FILE"
            )
        return settings.rule_book
    try:
        return read_rules(file)
    except RulesError as error:
        raise typer.BadParameter(str(error)) from error


def _facts(series: str, settings: ServiceSettings, *, sender: str, called: str) -> SeriesFacts:
    from pydicom.misc import is_dicom

    from service.series_facts import facts_of

    folder = Path(series)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path))
        return facts_of(files, sender=sender, called=called or settings.ae_title)
    return _facts_of_received(series, settings, sender=sender, called=called)


def _facts_of_received(
    series_uid: str, settings: ServiceSettings, *, sender: str, called: str
) -> SeriesFacts:
    from service.database import open_database
    from service.inbox import Inbox
    from service.records import SeriesRecord
    from service.series_facts import facts_of

    database = open_database(settings)
    inbox = Inbox(settings, database)
    instances = inbox.series(series_uid)
    if not instances:
        raise typer.BadParameter(f"{series_uid} is neither a folder nor the UID of a series received")
    with database.read() as session:
        record = session.get_one(SeriesRecord, series_uid)
    files = [inbox.path(instance) for instance in instances]
    return facts_of(
        files, sender=sender or record.sender, called=called or record.called or settings.ae_title
    )


def _show_facts(facts: SeriesFacts) -> None:
    from service.routing import words_for
    from service.series_facts import fact_names

    for name in fact_names():
        value = facts.value(name)
        _say(f"{words_for(name)}: {'absent' if value in {None, ''} else value}")


def _show_trial(trial: Trial, facts: SeriesFacts) -> None:
    _say(f"\n{trial.rule.name}: {'matches' if trial.matches else 'does not match'}")
    for judged in trial.when:
        _say(f"  {'yes' if judged.holds else 'NO '}  {_wanted(judged)}; it is {_is(judged, facts)}")
    for judged in trial.unless:
        _say(f"  {'NO ' if judged.holds else 'yes'}  not if {_wanted(judged)}; it is {_is(judged, facts)}")
    if not trial.when and not trial.unless:
        _say("  yes  it takes every series")


def _wanted(judged: Judged) -> str:
    from service.routing import words_for

    return f"{words_for(judged.condition)} is {judged.wanted}"


def _is(judged: Judged, facts: SeriesFacts) -> str:
    value = facts.value(judged.condition)
    return "absent" if value in {None, ""} else f"{value}"


def _show_outcome(found: Route, settings: ServiceSettings, *, sender: str) -> None:
    if found.rule is None:
        _say("\nNo rule matches: the series would be kept and listed as not routed.")
        return
    action = found.rule.then
    titles = (
        settings.destinations(sender)
        if action.destinations is None
        else settings.resolve(action.destinations, sender)
    )
    priority = "3" if action.priority is None else action.priority
    bundle = action.bundle or settings.bundle or "the shipped one"
    _say(f"\nRule {found.rule.name!r} counts: bundle {bundle}, priority {priority},")
    _say(f"result to {', '.join(titles) or 'no node (it can be fetched over REST)'}.")


def _say(text: str) -> None:
    terminal.output.print(text, markup=False)
