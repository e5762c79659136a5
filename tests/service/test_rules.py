"""Routing rules: what matches, what is said about it, what becomes of a series that nothing matches."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from service.cli import app
from service.inbox import Inbox
from service.jobs import Jobs, StateConflict
from service.ledger import SqlLedger
from service.plan import NotRouted
from service.reconciler import Reconciler
from service.routing import route
from service.rules import RuleBook, RulesError, read_rules, schema
from service.series_facts import SeriesFacts, facts_of
from service.settings import ServiceSettings
from worker.job_folder import attempt_dir, read_request
from worker.ledger import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "users" / "rules.schema.json"
CLINIC = """
rules:
  - name: prostate bed
    when:
      modality: CT
      series_description: ["*prost*", "*bed*"]
      thickness_mm: {max: 3}
      slices: {min: 3, max: 400}
    unless:
      sender: TRIAL
    then:
      bundle: phantom-small
      passes: 20
      priority: 1
      destinations: [ARCHIVE, sender]
      template: clinic.yaml
  - name: anything urgent
    when: {called: "FAST*"}
    then: {priority: 0}
"""


@pytest.fixture
def rules_file(tmp_path):
    (tmp_path / "clinic.yaml").write_text("qualifier: _\n")
    path = tmp_path / "rules.yaml"
    path.write_text(CLINIC)
    return path


@pytest.fixture
def ruled(settings, rules_file):
    """Settings with the rules above and a data folder with tables."""
    return ServiceSettings(**{**settings.model_dump(), "rules": rules_file})


@pytest.fixture
def clinic(ruled, database):
    """Receive series and take them up under the rules above."""
    return Clinic(ruled, database)


class Clinic:
    def __init__(self, settings, database):
        self.settings, self.database = settings, database
        self.inbox, self.jobs = Inbox(settings, database), Jobs(settings, database)
        self.ledger = SqlLedger(settings, database)

    def receive(self, make, uid=SERIES, *, slices=3, first=1, sender="TPS", called=None, **attributes):
        given = {"SeriesDescription": "Post-Prostatectomy", "SliceThickness": "2.5", **attributes}
        for number in range(first, first + slices):
            data = make(uid, number, **given)
            self.inbox.receive(data, sender=sender, source="dicom", called=called)
        return uid


def facts(**given):
    usual = {"modality": "CT", "series_description": "Prostate", "thickness_mm": 2.0, "slices": 90}
    return SeriesFacts(**{**usual, "sender": "TPS", "called": "PENUMBRA", **given})


def book(*rules):
    return RuleBook.model_validate({"rules": list(rules)})


def named(rule, *, series, **conditions):
    found = route(series, book({"name": rule, **conditions})).rule
    return found is not None


@pytest.mark.parametrize(
    ("when", "series", "matches"),
    [
        ({}, {}, True),
        ({"modality": "ct"}, {}, True),
        ({"modality": ["MR", "PT"]}, {}, False),
        ({"body_part": "*"}, {"body_part": ""}, False),
        ({"body_part": "PELV*"}, {"body_part": "pelvis"}, True),
        ({"series_description": "prost?te"}, {}, True),
        ({"series_description": "prost"}, {}, False),
        ({"series_description": "[bed]"}, {"series_description": "b"}, False),
        ({"sender": "tps"}, {}, False),
        ({"sender": ["A", "TP?"]}, {}, True),
        ({"called": "PENUMBRA"}, {}, True),
        ({"slices": {"min": 90, "max": 90}}, {}, True),
        ({"slices": {"max": 89}}, {}, False),
        ({"thickness_mm": {"max": 3}}, {"thickness_mm": None}, False),
        ({"thickness_mm": {"min": 2.5}}, {}, False),
        ({"modality": "CT", "slices": {"min": 100}}, {}, False),
    ],
)
def test_conditions(when, series, matches):
    assert named("r", series=facts(**series), when=when) is matches
    if len(when) == 1:
        assert named("r", series=facts(**series), unless=when) is not matches


def test_one_reason_to_exclude_is_enough():
    assert not named("r", series=facts(), unless={"modality": "CT", "slices": {"min": 100}})


def test_the_first_rule_that_matches_counts():
    rules = [{"name": "never", "when": {"modality": "MR"}}, {"name": "one"}, {"name": "two"}]
    found = route(facts(), book(*rules))
    assert found.rule.name == "one"
    assert [trial.rule.name for trial in found.trials] == ["never", "one"]


def test_why_not_names_rule_and_condition_and_quotes_nothing_of_the_series(rules_file):
    found = route(facts(series_description="SMITH^JOHN", thickness_mm=5.0), read_rules(rules_file))
    assert found.rule is None
    assert (
        "prostate bed: Series Description is not *prost* or *bed*; Slice Thickness in mm is not at most 3."
        in (found.why_not)
    )
    assert "anything urgent: called AE title is not FAST*." in found.why_not
    assert "SMITH" not in found.why_not
    excluded = route(facts(sender="TRIAL"), read_rules(rules_file))
    assert "sender is TRIAL, which excludes it" in excluded.why_not


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: []", "line 1, rules"),
        ("rules:\n  - name: a\n  - name: a", "two rules are called a"),
        ("rules:\n  - name: a\n    wen: {}", "line 3, rules.0.wen"),
        (
            "rules:\n  - name: a\n    when:\n      slices: {}",
            "line 4, rules.0.when.slices: Value error, min or max",
        ),
        ("rules:\n  - name: a\n    when: {slices: {min: 5, max: 2}}", "min is greater than max"),
        ("rules:\n  - name: a\n    when:\n      sender: NO", "line 4, rules.0.when.sender"),
        ("rules:\n  - name: a\n    then: {priority: 10}", "rules.0.then.priority"),
        ("rules:\n  - name: a\n    name: b", "line 3, name: this key stands there twice"),
        (
            "rules:\n  - name: a\n    then:\n      template: none.yaml",
            "line 4, rules.0.then.template: none.yaml",
        ),
        ("rules: [", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_line_and_key(tmp_path, text, said):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(RulesError) as refused:
        read_rules(path)
    assert said in str(refused.value)
    with pytest.raises(ValidationError, match="rules.yaml"):
        ServiceSettings(rules=path)


def test_destinations_must_be_nodes(settings, rules_file):
    with pytest.raises(ValidationError, match="ARCHIVE, which nodes does not define"):
        ServiceSettings(**{**settings.model_dump(), "nodes": (), "rules": rules_file})


def test_facts_are_those_of_most_instances(tmp_path, instance):
    for number in range(1, 31):
        kind = {"SeriesDescription": "Bed", "SliceThickness": "3.0", "BodyPartExamined": "PELVIS"}
        odd = {"SeriesDescription": "Scout", "SliceThickness": "600"} if number % 10 == 0 else kind
        (tmp_path / f"{number:02d}.dcm").write_bytes(instance(SERIES, number, **odd))
    found = facts_of(sorted(tmp_path.iterdir()), sender="TPS", called="X")
    assert (found.series_description, found.thickness_mm, found.slices) == ("Bed", 3.0, 30)
    assert (found.body_part, found.modality, found.station) == ("PELVIS", "CT", "")


def test_facts_of_damaged_files_are_absent(tmp_path, instance):
    (tmp_path / "a.dcm").write_bytes(instance()[:200])
    (tmp_path / "b.dcm").write_bytes(instance(SERIES, 2, SliceThickness=""))
    found = facts_of(sorted(tmp_path.iterdir()), sender="TPS", called="X")
    assert found.thickness_mm is None and found.modality == "CT"


def test_a_series_follows_its_rule(clinic, instance):
    job = clinic.jobs.take_up(clinic.receive(instance))
    assert (job.state, job.rule, job.bundle, job.passes) == ("queued", "prostate bed", "phantom-small", 20)
    folder = clinic.settings.jobs_dir / job.id
    assert {each.ae_title: each.template.qualifier for each in read_request(folder).destinations} == {
        "ARCHIVE": "_",
        "TPS": "_",
    }
    claim = clinic.ledger.claim(job.id, "one")
    out = attempt_dir(claim.folder, claim.fence)
    out.mkdir()
    (out / "result.json").write_text("{}")
    assert clinic.ledger.publish(claim, Outcome("done"))
    assert {each.node for each in clinic.jobs.get(job.id).deliveries} == {"ARCHIVE", "TPS"}


def test_the_called_title_routes(clinic, instance):
    job = clinic.jobs.take_up(clinic.receive(instance, called="FASTER", SeriesDescription="Head"))
    assert job.rule == "anything urgent"


def test_what_no_rule_matches_is_kept_and_listed(clinic, instance):
    clinic.receive(instance, SeriesDescription="Head of ZZPHIMARK")
    reconciler = Reconciler(clinic.settings.model_copy(update={"quiet_period_s": 1e-9}), clinic.database)
    reconciler.submit_quiet_series()
    (job,) = clinic.jobs.list(states=["not-routed"]).jobs
    assert job.reason["code"] == NotRouted.code
    assert "Series Description is not *prost*" in job.reason["message"]
    assert "ZZPHIMARK" not in str(job.reason)
    assert job.has_ended and clinic.ledger.claim(job.id, "one") is None
    assert len(clinic.inbox.series(SERIES)) == 3
    reconciler.submit_quiet_series()
    clinic.receive(instance, SeriesDescription="Head of ZZPHIMARK")
    assert len(clinic.jobs.list().jobs) == 1


def test_what_was_not_routed_can_be_contoured_by_hand(clinic, instance):
    aside = clinic.jobs.take_up(clinic.receive(instance, SeriesDescription="Head"))
    job = clinic.jobs.retry(aside.id)
    assert (job.id, job.state, job.rule, job.reason) == (aside.id, "queued", None, None)
    assert read_request(clinic.settings.jobs_dir / job.id).passes == clinic.settings.passes
    assert clinic.ledger.claim(job.id, "one") is not None
    with pytest.raises(StateConflict):
        clinic.jobs.retry(job.id)


def test_a_retry_follows_rules_that_were_mended_meanwhile(clinic, instance, rules_file):
    aside = clinic.jobs.take_up(clinic.receive(instance, SeriesDescription="Head"))
    rules_file.write_text(CLINIC.replace('"*bed*"', '"*head*"'))
    mended = ServiceSettings(**clinic.settings.model_dump())
    job = Jobs(mended, clinic.database).retry(aside.id)
    assert (job.id, job.state, job.rule) == (aside.id, "queued", "prostate bed")


def test_a_later_slice_supersedes_what_was_not_routed(clinic, instance):
    aside = clinic.jobs.take_up(clinic.receive(instance, slices=2))
    assert aside.state == "not-routed"
    clinic.receive(instance, slices=1, first=3)
    job = clinic.jobs.take_up(SERIES)
    assert (job.state, job.revision, job.rule) == ("queued", 2, "prostate bed")
    assert clinic.jobs.get(aside.id).superseded_by == job.id
    with pytest.raises(StateConflict, match="newer"):
        clinic.jobs.retry(aside.id)


def test_what_a_client_asks_for_is_contoured_and_wins_over_the_rule(clinic, instance):
    clinic.receive(instance)
    job = clinic.jobs.submit(SERIES, passes=7)
    assert (job.passes, job.rule, job.bundle) == (7, "prostate bed", "phantom-small")
    other = clinic.receive(instance, f"{SERIES}.9", SeriesDescription="Head")
    assert clinic.jobs.submit(other).state == "queued"


def test_without_rules_every_series_is_contoured(jobs, receive):
    assert jobs.take_up(receive()).state == "queued"


def test_published_schema_is_the_one_that_is_checked():
    assert json.loads(SCHEMA_FILE.read_text()) == schema()


@pytest.fixture
def penumbra(ruled, database, monkeypatch):
    for name, value in ruled.environment().items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, ["rules", *arguments])


def test_the_command_explains_a_folder_in_words(penumbra, tmp_path, instance):
    folder = tmp_path / "ct"
    folder.mkdir()
    (folder / "note.txt").write_text("no DICOM")
    for number in range(1, 5):
        (folder / f"{number}.dcm").write_bytes(instance(SERIES, number, SeriesDescription="Tumour bed"))
    done = penumbra("test", str(folder), "--sender", "TPS")
    assert done.exit_code == 3
    assert "NO   Slice Thickness in mm is at most 3; it is absent" in done.stdout
    assert "yes  number of slices is between 3 and 400; it is 4" in done.stdout
    assert "kept and listed as not routed" in done.stdout
    urgent = penumbra("test", str(folder), "--called", "FAST")
    assert urgent.exit_code == 0 and "Rule 'anything urgent' counts" in urgent.stdout


def test_the_command_explains_a_received_series(penumbra, clinic, instance):
    clinic.receive(instance)
    done = penumbra("test", SERIES)
    assert done.exit_code == 0, done.output
    assert "Rule 'prostate bed' counts: bundle phantom-small, priority 1" in done.stdout
    assert "result to ARCHIVE, TPS" in done.stdout
    assert penumbra("test", "1.2.3").exit_code == 2


def test_the_command_checks_a_file(penumbra, tmp_path):
    assert "1. prostate bed: modality" in penumbra("check").stdout
    (tmp_path / "bad.yaml").write_text("rules:\n  - nam: a")
    bad = penumbra("check", "--rules", str(tmp_path / "bad.yaml"))
    assert bad.exit_code == 2 and "rules.0.nam" in bad.stderr
    assert json.loads(penumbra("schema").stdout)["title"] == "Penumbra routing rules"
