"""The structures as one table: the only place where a structure has a name, a kind or a channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One structure that Penumbra contours.

    `name` is the TG-263 name (the CTV's ROI name is the RTSTRUCT writer's matter), `words` what it is called in a
    sentence, `channel` the localiser's
    output that finds it (the paper's network has one channel for both femoral heads).
    """

    name: str
    words: str
    kind: Literal["target", "organ"]
    channel: int
    colour: tuple[int, int, int]  # red, green, blue

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The colour in shares of 1, as Matplotlib takes it."""
        red, green, blue = self.colour
        return red / 255, green / 255, blue / 255


# The colours can be told apart by people with any kind of colour blindness (tests/models/test_structures.py).
STRUCTURES: tuple[Structure, ...] = (
    Structure(name="CTV", words="the CTV", kind="target", channel=0, colour=(238, 90, 105)),
    Structure(name="Bladder", words="the bladder", kind="organ", channel=1, colour=(248, 235, 80)),
    Structure(name="Rectum", words="the rectum", kind="organ", channel=2, colour=(165, 108, 25)),
    Structure(
        name="Femur_Head_L", words="the left femoral head", kind="organ", channel=3, colour=(130, 231, 213)
    ),
    Structure(
        name="Femur_Head_R", words="the right femoral head", kind="organ", channel=3, colour=(56, 108, 238)
    ),
    Structure(name="PenileBulb", words="the penile bulb", kind="organ", channel=4, colour=(240, 146, 250)),
)
ORGANS: tuple[Structure, ...] = tuple(s for s in STRUCTURES if s.kind == "organ")
CHANNELS = 5


def structure(name: str) -> Structure:
    """The table's row of this name; raises `KeyError`."""
    for row in STRUCTURES:
        if row.name == name:
            return row
    raise KeyError(name)
