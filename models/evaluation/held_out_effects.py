"""Held-out phantoms that show an effect: found by drawing one after another, seldom ones too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from models.phantom.anatomy import Anatomy
from models.phantom.appearance import Appearance
from models.phantom.cohort import draw_patient
from models.phantom.effects import Effects
from models.phantom.tissue import Tissue

LOOK_STREAM = 11  # of a held-out case's scan; the cohort's and the scenarios' are 0 to 10
CLINICAL = Effects.clinical()
CLIPS = 4  # small ones fall between the points of a coarse map
TURN_DEG = 5.0
CONTRAST_HU = {
    Tissue.URINE: 60.0,
    Tissue.VESSEL: 100.0,
    Tissue.BOWEL_CONTENT: 120.0,
}  # none is so bright without
MOST_SEARCHED = 100  # phantoms for one that is wanted

Shows = Callable[[Anatomy, Appearance], bool]

SHOWS: Mapping[str, Shows] = {
    "texture": lambda anatomy, look: look.inhomogeneity is not None,
    "noise": lambda anatomy, look: look.noise is not None,
    "streaks": lambda anatomy, look: (
        look.streaks is not None
        and (bool(anatomy.metal_hips) or look.streaks.band_hu > 0 or look.field_of_view is not None)
    ),
    "bowel": lambda anatomy, look: bool(anatomy.bowel and anatomy.bladder.dents),
    "couch": lambda anatomy, look: anatomy.surroundings.couch,
    "arms": lambda anatomy, look: bool(anatomy.surroundings.arms),
    "clothing": lambda anatomy, look: anatomy.surroundings.cloth_gap is not None,
    "contrast": lambda anatomy, look: any(look.hu[tissue] > hu for tissue, hu in CONTRAST_HU.items()),
    "spacer": lambda anatomy, look: anatomy.bed.spacer is not None,
    "clips": lambda anatomy, look: len(anatomy.bed.clips) >= CLIPS,
    "prosthesis": lambda anatomy, look: bool(anatomy.metal_hips),
    "rotation": lambda anatomy, look: turned_deg(anatomy) >= TURN_DEG,
    "random_hu": lambda anatomy, look: True,  # no patient has them: what they teach must help with any
}


def look_stream(seed: int, index: int) -> np.random.Generator:
    """What the scan of a held-out case is drawn from: the same for every network."""
    return np.random.default_rng([seed, index, LOOK_STREAM])


def shown_by(seed: int, index: int) -> set[str]:
    """Which effects held-out case `index` shows, in its anatomy or in its clinical scan."""
    anatomy = draw_patient(seed, index, effects=CLINICAL).anatomy
    look = Appearance.draw(look_stream(seed, index), effects=CLINICAL)
    return {name for name, shows in SHOWS.items() if shows(anatomy, look)}


def turned_deg(anatomy: Anatomy) -> float:
    """Angle between the patient's axes and the scanner's."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(anatomy.pose.turn) - 1) / 2, -1, 1))))


def held_out_indices(
    seed: int, effects: Collection[str], *, ordinary: int, shown: int
) -> dict[str, tuple[int, ...]]:
    """Per effect the held-out cases that show it: those among the first `ordinary`, and further ones up to `shown`.

    Costs 12 ms a phantom looked at. Fewer than `shown` if `MOST_SEARCHED` times as many do not hold them.
    """
    found: dict[str, list[int]] = {name: [] for name in effects}
    index = 0
    while index < ordinary or (
        index < MOST_SEARCHED * shown and any(len(cases) < shown for cases in found.values())
    ):
        names = shown_by(seed, index)
        for name, cases in found.items():
            if name in names and (index < ordinary or len(cases) < shown):
                cases.append(index)
        index += 1
    return {name: tuple(cases) for name, cases in found.items()}
