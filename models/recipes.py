"""Recipes: what each network looks like and how it is trained, as data.

`small` is what ships: sized for two CPU cores, both to train and to run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from models.ag_mtn import ag_mtn
from models.localization import localization_unet
from models.oar_unet import bladder_unet, femoral_head_unet, penile_bulb_unet, rectum_unet

LOCALIZER = "Localizer"

FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "localization_unet": localization_unet,
    "bladder_unet": bladder_unet,
    "femoral_head_unet": femoral_head_unet,
    "rectum_unet": rectum_unet,
    "penile_bulb_unet": penile_bulb_unet,
    "ag_mtn": ag_mtn,
}


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """One network: architecture, the grid it works on, and its training.

    `voi_size_zyx` and `spacing_zyx_mm` give the volume of interest; for the localiser the size of a slice (z = 1).
    """

    name: str
    factory: str
    width: int
    voi_size_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    steps: int
    batch: int = 1
    levels: int = 4
    learning_rate: float = 2e-3

    def build(self) -> nn.Module:
        """A new network with random weights."""
        return FACTORIES[self.factory](width=self.width, levels=self.levels)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A bundle to be: its networks and its cohort."""

    name: str
    networks: tuple[NetworkRecipe, ...]
    training_cases: int
    validation_cases: int
    cohort_seed: int = 2021
    seed: int = 0
    notes: str = field(default="")


SMALL = Recipe(
    name="small",
    training_cases=144,
    validation_cases=16,
    notes="Lean networks for two CPU cores; DropBlock from the bottleneck on.",
    networks=(
        NetworkRecipe(
            name=LOCALIZER,
            factory="localization_unet",
            width=12,
            voi_size_zyx=(1, 96, 128),
            spacing_zyx_mm=(3.0, 4.0, 4.0),
            steps=1500,
            batch=16,
        ),
        NetworkRecipe(
            name="CTV",
            factory="ag_mtn",
            width=12,
            voi_size_zyx=(40, 80, 80),
            spacing_zyx_mm=(3.0, 1.5, 1.5),
            steps=1600,
        ),
        NetworkRecipe(
            name="Bladder",
            factory="bladder_unet",
            width=12,
            voi_size_zyx=(56, 96, 96),
            spacing_zyx_mm=(3.0, 2.0, 2.0),
            steps=700,
        ),
        NetworkRecipe(
            name="Rectum",
            factory="rectum_unet",
            width=12,
            voi_size_zyx=(56, 80, 64),
            spacing_zyx_mm=(3.0, 2.0, 2.0),
            steps=2400,
        ),
        *(
            NetworkRecipe(
                name=name,
                factory="femoral_head_unet",
                width=12,
                voi_size_zyx=(32, 64, 64),
                spacing_zyx_mm=(3.0, 1.5, 1.5),
                steps=450,
            )
            for name in ("Femur_Head_L", "Femur_Head_R")
        ),
        NetworkRecipe(
            name="PenileBulb",
            factory="penile_bulb_unet",
            width=12,
            voi_size_zyx=(24, 48, 48),
            spacing_zyx_mm=(3.0, 1.25, 1.25),
            steps=900,
            batch=2,
        ),
    ),
)

RECIPES: dict[str, Recipe] = {SMALL.name: SMALL}
