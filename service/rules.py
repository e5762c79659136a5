"""The routing rules: which series is contoured, with which bundle, how urgently, and who gets the result.

A YAML file whose schema is `RuleBook`. `service/routing.py` applies it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from service.priority import Priority
from worker.job_folder import Destination
from worker.object_files import SentKind
from worker.roi_naming import read_template
from worker.roi_template import Template, TemplateError
from worker.yaml_file import YamlRefused, read_yaml, refusal

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Patterns = Pattern | Annotated[tuple[Pattern, ...], Field(min_length=1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
BundleName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class RulesError(YamlRefused):
    """Rules that cannot be used; the text names file, line and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """From `min` to `max`, both included; one of them may be left out."""

    min: float | None = Field(default=None, ge=0)
    max: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("min or max must be given")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class Conditions(_Strict):
    """What is asked of a series. Texts may have the wildcards * and ?; of several, one must fit."""

    modality: Patterns | None = Field(default=None, description="Modality (0008,0060), such as CT.")
    body_part: Patterns | None = Field(default=None, description="Body Part Examined (0018,0015).")
    study_description: Patterns | None = Field(default=None, description="Study Description (0008,1030).")
    series_description: Patterns | None = Field(default=None, description="Series Description (0008,103E).")
    protocol: Patterns | None = Field(default=None, description="Protocol Name (0018,1030).")
    station: Patterns | None = Field(default=None, description="Station Name (0008,1010).")
    sender: Patterns | None = Field(
        default=None, description="Calling AE title of whoever sent it; capitals count."
    )
    called: Patterns | None = Field(
        default=None, description="AE title that the sender called; capitals count."
    )
    slices: Range | None = Field(default=None, description="Number of instances.")
    thickness_mm: Range | None = Field(default=None, description="Slice Thickness (0018,0050) in mm.")

    @property
    def given(self) -> tuple[str, ...]:
        """The conditions that are set, in the order of the schema."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class Action(_Strict):
    """What is done with a series; what is left out is as in the settings."""

    bundle: BundleName | None = Field(default=None, description="Bundle that contours it.")
    passes: int | None = Field(default=None, ge=1, le=1000, description="Passes per structure.")
    priority: Priority | None = Field(default=None, description="0 goes first, 9 last; 3 if absent.")
    destinations: tuple[str, ...] | None = Field(
        default=None,
        description="AE titles of nodes that get the result; `sender` is the sender's own. An empty list: nobody.",
    )
    objects: tuple[SentKind, ...] | None = Field(
        default=None, min_length=1, description="What they get; as each node's settings say if absent."
    )
    template: Path | None = Field(
        default=None, description="How the RTSTRUCT is written; a path from the folder of the rules."
    )
    _template: Template | None = PrivateAttr(None)

    def at(self, destination: Destination) -> Destination:
        """What a node gets under this rule."""
        changes: dict[str, Any] = {"objects": self.objects, "template": self._template}
        return destination.model_copy(update={k: v for k, v in changes.items() if v is not None})


class Rule(_Strict):
    """One rule: it matches if everything under `when` holds and nothing under `unless` does."""

    name: Name
    when: Conditions = Field(default=Conditions(), description="All of these must hold; none: every series.")
    unless: Conditions = Field(default=Conditions(), description="None of these may hold.")
    then: Action = Field(default=Action(), description="What is done with a series that matches.")


class RuleBook(BaseModel):
    """Penumbra's routing rules, in order; the first that matches a series counts."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Penumbra routing rules")

    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {', '.join(twice)}")
        return self

    @property
    def destinations(self) -> frozenset[str]:
        """Every AE title that a rule sends results to."""
        return frozenset(title for rule in self.rules for title in rule.then.destinations or ())


def read_rules(file: Path) -> RuleBook:
    """Read and check rules, and the templates that they name.

    Raises:
        RulesError: with file, line and key of everything that is wrong.
    """
    content = read_yaml(file, RulesError)
    try:
        book = RuleBook.model_validate(content)
    except ValidationError as error:
        problems = [(_plain(each["loc"]), each["msg"]) for each in error.errors(include_url=False)]
        raise refusal(file, _once(problems), RulesError) from None
    for number, rule in enumerate(book.rules):
        _read_template(file, number, rule.then)
    return book


def schema() -> dict[str, Any]:
    """The JSON schema of rules, for editors (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RuleBook.model_json_schema()}


def _read_template(file: Path, number: int, action: Action) -> None:
    if action.template is None:
        return
    try:
        action._template = read_template(file.parent / action.template.expanduser())
    except TemplateError as error:
        place = ("rules", number, "then", "template")
        raise refusal(file, [(place, str(error))], RulesError) from None


def _plain(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A place in the file: pydantic also names the member of a union, which is no key."""
    return tuple(part for part in location if not (isinstance(part, str) and ("[" in part or part == "str")))


def _once(problems: list[tuple[tuple[int | str, ...], str]]) -> list[tuple[tuple[int | str, ...], str]]:
    """The first problem of each place: a text that is neither one pattern nor a list is told of once."""
    return list({place: (place, message) for place, message in reversed(problems)}.values())[::-1]
