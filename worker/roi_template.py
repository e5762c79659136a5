"""A destination's template: names, types, colours and bounds of the RTSTRUCT it gets, as a YAML file.

`worker/roi_naming.py` turns a template into the rules by which an RTSTRUCT is written.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from worker.yaml_file import YamlRefused, read_yaml, refusal

DEFAULT_FILE: Final = Path(__file__).with_name("roi_template.yaml")

StructureName = Literal["CTV", "Bladder", "Rectum", "Femur_Head_L", "Femur_Head_R", "PenileBulb"]
Bound = Literal["mean", "lower", "upper"]
InterpretedType = Literal[
    "CTV", "GTV", "PTV", "ORGAN", "AVOIDANCE", "CONTROL", "DOSE_REGION", "IRRAD_VOLUME", "TREATED_VOLUME"
]
Byte = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Byte, Byte, Byte]
Name = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[!-\[\]-~]*$")]
Word = Annotated[str, StringConstraints(max_length=8, pattern="^[A-Za-z_]*$")]


class TemplateError(YamlRefused):
    """A template that cannot be used; the text names file, line and key."""


class StructureTemplate(BaseModel):
    """How one structure is written. Names are ASCII without blanks and backslashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="ROI name of the mean contour.")
    machine_made: bool = Field(
        default=False, description="Whether qualifier and `machine` follow the mean's name."
    )
    bounds_name: Name | None = Field(
        None, description="What stands between prefix and qualifier in the bounds' names; `name` if absent."
    )
    type: InterpretedType = Field(description="RT ROI Interpreted Type of the mean (PS3.3 C.8.8.8.1).")
    colour: Colour = Field(description="Red, green, blue of the mean, 0 to 255.")
    lower_colour: Colour | None = Field(
        None, description="Of the lower bound; darker than the mean if absent."
    )
    upper_colour: Colour | None = Field(
        None, description="Of the upper bound; paler than the mean if absent."
    )
    contours: tuple[Bound, ...] = Field(
        ("mean", "lower", "upper"), min_length=1, description="Which contours are written."
    )
    fill_holes: bool = Field(
        default=False, description="Whether holes are filled, for organs that cannot have any."
    )


class Template(BaseModel):
    """What one destination's RTSTRUCT looks like. What is left out is as in Penumbra's default template."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Penumbra RTSTRUCT template")

    label: Annotated[
        str, StringConstraints(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*$", strip_whitespace=True)
    ] = Field("AI_DRAFT", description="Structure Set Label; NOT CLINICAL unless the bundle is clinical.")
    qualifier: Annotated[str, StringConstraints(pattern=r"^[\^_.~-]?$")] = Field(
        "^", description="Between a name and what follows it: one of ^ _ . ~ - or nothing."
    )
    machine: Word = Field("AI", description="What follows a mean's name where `machine_made` is true.")
    prefix: Word = Field("z", description="Before the names of bounds.")
    lower: Word = Field("lo", description="What follows a lower bound's name; the share is added by itself.")
    upper: Word = Field("hi", description="What follows an upper bound's name.")
    bounds_type: InterpretedType = Field("CONTROL", description="RT ROI Interpreted Type of bounds.")
    structures: dict[StructureName, StructureTemplate] | None = Field(
        None, min_length=1, description="What is written; a structure that is not named here is not written."
    )

    @property
    def written(self) -> dict[StructureName, StructureTemplate]:
        """The structures that are written: the template's own, or the default's."""
        return default_structures() if self.structures is None else self.structures

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that follow from the content; the RTSTRUCT's file is named by them."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


@cache
def default_template() -> Template:
    """The template that holds where none is named."""
    return parse_template(DEFAULT_FILE)


def default_structures() -> dict[StructureName, StructureTemplate]:
    """How the default template writes every structure."""
    return default_template().structures or {}


def parse_template(file: Path) -> Template:
    """Read a template, without yet asking whether its names fit together (`roi_naming.read_template` asks).

    Raises:
        TemplateError: it is not YAML or breaks the schema; every breach is named with its line and key.
    """
    try:
        return Template.model_validate(read_yaml(file, TemplateError))
    except ValidationError as error:
        problems = [(each["loc"], each["msg"]) for each in error.errors(include_url=False)]
        raise refusal(file, problems, TemplateError) from None


def schema() -> dict[str, Any]:
    """The JSON schema of templates, for editors (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Template.model_json_schema()}
