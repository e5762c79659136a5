"""What structures are called, coloured and typed as ROIs of an RTSTRUCT.

Names follow AAPM TG-263: at most 16 characters, unique whatever the case, `z` before what is not for dose
evaluation, a qualifier after `^`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.roi_template import (
    StructureTemplate,
    Template,
    TemplateError,
    default_structures,
    default_template,
    parse_template,
)
from worker.yaml_file import refusal

MAX_NAME: Final = 16
BOUNDS: Final = ("mean", "lower", "upper")


class NamingRefused(ValueError):
    """Names or colours that no RTSTRUCT may have; `structure` says whose."""

    def __init__(self, message: str, *, structure: str) -> None:
        super().__init__(message)
        self.structure = structure


@dataclass(frozen=True, kw_only=True)
class RoiStyle:
    """How one structure is written.

    Attributes:
        name: ROI name of the mean contour, without the qualifier.
        stem: name of the bounds between `z` and `^`; short enough for `^lo95`.
        interpreted_type: RT ROI Interpreted Type of the mean (PS3.3 C.8.8.8.1).
        colour: mean's red, green, blue, 0..255.
        fill_holes: whether the structure cannot have holes.
        qualified: whether the mean's name says that it comes from a machine.
        contours: which of `BOUNDS` are written.
        bound_colours: of the bounds that are not to be a shade of the mean's.
    """

    name: str
    stem: str
    interpreted_type: str
    colour: tuple[int, int, int]
    fill_holes: bool
    qualified: bool = False
    contours: tuple[str, ...] = BOUNDS
    bound_colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)


def _style(structure: StructureTemplate) -> RoiStyle:
    given = {"lower": structure.lower_colour, "upper": structure.upper_colour}
    return RoiStyle(
        name=structure.name,
        stem=structure.bounds_name or structure.name,
        interpreted_type=structure.type,
        colour=structure.colour,
        fill_holes=structure.fill_holes,
        qualified=structure.machine_made,
        contours=tuple(bound for bound in BOUNDS if bound in structure.contours),
        bound_colours={bound: colour for bound, colour in given.items() if colour is not None},
    )


def _default_styles() -> dict[str, RoiStyle]:
    return {name: _style(structure) for name, structure in default_structures().items()}


@dataclass(frozen=True, kw_only=True)
class RoiNaming:
    """The map from structures to ROIs; a planning system may need its own (`worker/roi_template.py`).

    Attributes:
        styles: per structure name; a structure that is absent is not written.
        qualifier: what separates a name from its qualifier; some systems refuse `^`.
        mean_suffix: qualifier of mean contours whose style asks for one.
        label: Structure Set Label of a clinical bundle's draft, at most 16 characters.
        prefix: what stands before the names of bounds.
        suffixes: qualifiers of `lower` and `upper`, without the share.
        bounds_type: RT ROI Interpreted Type of bounds.
    """

    styles: Mapping[str, RoiStyle] = field(default_factory=_default_styles)
    qualifier: str = "^"
    mean_suffix: str = "AI"
    label: str = "AI_DRAFT"
    prefix: str = "z"
    suffixes: Mapping[str, str] = field(default_factory=lambda: {"lower": "lo", "upper": "hi"})
    bounds_type: str = "CONTROL"

    def __post_init__(self) -> None:
        for structure in self.styles:
            self._check_colours(structure)
        for percent in (None, 95):
            self._check_names(percent)

    def style(self, structure: str) -> RoiStyle:
        """How a structure is written; KeyError if the map does not know it."""
        return self.styles[structure]

    def names(self, structure: str, *, percent: int | None) -> dict[str, str]:
        """ROI names of a structure's `mean`, `lower` and `upper`.

        Only calibrated bounds have a percentage, of two digits; others must not be called 95.
        """
        style = self.styles[structure]
        share = "" if percent is None else f"{percent:02d}"
        mean = f"{style.name}{self.qualifier}{self.mean_suffix}" if style.qualified else style.name
        bounds = {
            bound: f"{self.prefix}{style.stem}{self.qualifier}{suffix}{share}"
            for bound, suffix in self.suffixes.items()
        }
        return {"mean": mean, **bounds}

    def written_names(self, structure: str, *, percent: int | None) -> dict[str, str]:
        """The names of those contours of a structure that are written; none if it is not in the map."""
        if structure not in self.styles:
            return {}
        names = self.names(structure, percent=percent)
        return {bound: names[bound] for bound in self.styles[structure].contours}

    def colour(self, structure: str, bound: str) -> list[int]:
        """Red, green, blue; by itself the lower bound is darker than the mean, the upper paler."""
        style = self.styles[structure]
        if bound in style.bound_colours:
            return list(style.bound_colours[bound])
        if bound == "lower":
            return [c // 2 for c in style.colour]
        return [255 - (255 - c) // 2 for c in style.colour] if bound == "upper" else list(style.colour)

    def interpreted_type(self, structure: str, bound: str) -> str:
        """RT ROI Interpreted Type of an ROI."""
        return self.styles[structure].interpreted_type if bound == "mean" else self.bounds_type

    def _check_names(self, percent: int | None) -> None:
        seen: set[str] = set()
        for structure in self.styles:
            for name in self.written_names(structure, percent=percent).values():
                _check_name(name, structure, calibrated=percent is not None)
                if name.casefold() in seen:
                    raise NamingRefused(
                        f"ROI names are not unique, whatever the case: {name!r} is there twice",
                        structure=structure,
                    )
                seen.add(name.casefold())

    def _check_colours(self, structure: str) -> None:
        colours = [tuple(self.colour(structure, bound)) for bound in self.styles[structure].contours]
        if len(set(colours)) < len(colours):
            raise NamingRefused(f"two contours have the same colour: {colours}", structure=structure)


def naming_of(template: Template) -> RoiNaming:
    """The rules that a template stands for.

    Raises:
        NamingRefused: a name is too long, not plain ASCII, there twice, or claims 95; or two colours are equal.
    """
    return RoiNaming(
        styles={name: _style(structure) for name, structure in template.written.items()},
        qualifier=template.qualifier,
        mean_suffix=template.machine,
        label=template.label,
        prefix=template.prefix,
        suffixes={"lower": template.lower, "upper": template.upper},
        bounds_type=template.bounds_type,
    )


def read_template(file: Path) -> Template:
    """Read a template and check that every name it makes can be written.

    Raises:
        TemplateError: with file, line and key of what is wrong.
    """
    template = parse_template(file)
    try:
        naming_of(template)
    except NamingRefused as error:
        raise refusal(file, [(("structures", error.structure), str(error))], TemplateError) from None
    return template


def _check_name(name: str, structure: str, *, calibrated: bool) -> None:
    # Blanks at an end are lost or kept as each reader likes (PS3.5 6.2).
    written = name.isascii() and name.isprintable() and "\\" not in name and name == name.strip()
    if not written or not 0 < len(name) <= MAX_NAME:
        raise NamingRefused(
            f"not a name for an ROI: {name!r} (1 to {MAX_NAME} ASCII characters)", structure=structure
        )
    if not calibrated and "95" in name:
        raise NamingRefused(
            f"{name!r} says 95, which Penumbra adds by itself where the bundle is calibrated",
            structure=structure,
        )


DEFAULT_NAMING: Final = naming_of(default_template())
