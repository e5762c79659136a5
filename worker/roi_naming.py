"""What structures are called, coloured and typed as ROIs of an RTSTRUCT.

Names follow AAPM TG-263: at most 16 characters, unique whatever the case, `z` before what is not for dose
evaluation, a qualifier after `^`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_NAME: Final = 16
BOUNDS: Final = ("mean", "lower", "upper")
_BOUND_TYPE: Final = "CONTROL"


@dataclass(frozen=True, kw_only=True)
class RoiStyle:
    """How one structure is written.

    Attributes:
        name: ROI name of the mean contour, without the qualifier.
        stem: name of the bounds between `z` and `^`; short enough for `^lo95`.
        interpreted_type: RT ROI Interpreted Type of the mean (PS3.3 C.8.8.8.1); bounds are always CONTROL.
        colour: mean's red, green, blue, 0..255.
        fill_holes: whether the structure cannot have holes.
        qualified: whether the mean's name says that it comes from a machine.
    """

    name: str
    stem: str
    interpreted_type: str
    colour: tuple[int, int, int]
    fill_holes: bool
    qualified: bool = False


_STYLES: Final = {
    "CTV": RoiStyle(
        name="CTVsb",
        stem="CTVsb",
        interpreted_type="CTV",
        colour=(230, 30, 30),
        fill_holes=False,
        qualified=True,
    ),
    "Bladder": RoiStyle(
        name="Bladder", stem="Bladder", interpreted_type="ORGAN", colour=(240, 200, 20), fill_holes=True
    ),
    "Rectum": RoiStyle(
        name="Rectum", stem="Rectum", interpreted_type="ORGAN", colour=(150, 90, 40), fill_holes=True
    ),
    "Femur_Head_L": RoiStyle(
        name="Femur_Head_L",
        stem="FemurHeadL",
        interpreted_type="ORGAN",
        colour=(60, 140, 240),
        fill_holes=True,
    ),
    "Femur_Head_R": RoiStyle(
        name="Femur_Head_R",
        stem="FemurHeadR",
        interpreted_type="ORGAN",
        colour=(40, 180, 120),
        fill_holes=True,
    ),
    "PenileBulb": RoiStyle(
        name="PenileBulb", stem="PenileBulb", interpreted_type="ORGAN", colour=(200, 80, 220), fill_holes=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class RoiNaming:
    """The map from structures to ROIs; a planning system may need its own.

    Attributes:
        styles: per structure name.
        qualifier: what separates a name from its qualifier; some systems refuse `^`.
        mean_suffix: qualifier of mean contours whose style asks for one.
    """

    styles: Mapping[str, RoiStyle] = field(default_factory=lambda: dict(_STYLES))
    qualifier: str = "^"
    mean_suffix: str = "AI"

    def __post_init__(self) -> None:
        for percent in (None, 95):
            names = [n for s in self.styles for n in self.names(s, percent=percent).values()]
            for name in names:
                if (
                    not 0 < len(name) <= MAX_NAME
                    or not name.isascii()
                    or not name.isprintable()
                    or "\\" in name
                ):
                    raise ValueError(f"not a name for an ROI: {name!r} (1 to {MAX_NAME} ASCII characters)")
            if len({name.casefold() for name in names}) < len(names):
                raise ValueError(f"ROI names are not unique, whatever the case: {names}")

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
        return {
            "mean": mean,
            "lower": f"z{style.stem}{self.qualifier}lo{share}",
            "upper": f"z{style.stem}{self.qualifier}hi{share}",
        }

    def colour(self, structure: str, bound: str) -> list[int]:
        """Red, green, blue; the lower bound darker than the mean, the upper lighter."""
        colour = self.styles[structure].colour
        if bound == "lower":
            return [c // 2 for c in colour]
        return [255 - (255 - c) // 2 for c in colour] if bound == "upper" else list(colour)

    def interpreted_type(self, structure: str, bound: str) -> str:
        """RT ROI Interpreted Type of an ROI."""
        return self.styles[structure].interpreted_type if bound == "mean" else _BOUND_TYPE


DEFAULT_NAMING: Final = RoiNaming()
