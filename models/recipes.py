"""Recipes: what each network looks like and how it is trained, as data.

`small` is what ships: sized for two CPU cores, both to train and to run. `full` is the same family at the paper's size,
for a GPU. `paper` is `full` with the paper's DropBlock, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from models.ag_mtn import ag_mtn, ag_unet, mtn, plain_unet
from models.localization import localization_unet
from models.oar_unet import bladder_unet, femoral_head_unet, penile_bulb_unet, rectum_unet
from models.pelvis_unet import pelvis_unet
from models.phantom.effects import Effects
from models.stochastic import Placement

LOCALIZER = "Localizer"
PELVIS = "Pelvis"  # the probe of all organs

FACTORIES: dict[str, Callable[..., nn.Module]] = {
    "localization_unet": localization_unet,
    "bladder_unet": bladder_unet,
    "femoral_head_unet": femoral_head_unet,
    "rectum_unet": rectum_unet,
    "penile_bulb_unet": penile_bulb_unet,
    "ag_mtn": ag_mtn,
    "mtn": mtn,
    "ag_unet": ag_unet,
    "plain_unet": plain_unet,
    "pelvis_unet": pelvis_unet,
}
WITHOUT_DROPBLOCK = frozenset({"localization_unet", "pelvis_unet"})


def build_network(factory: str, *, width: int, levels: int, placement: Placement) -> nn.Module:
    """A new network with random weights; raises `KeyError` for an unknown factory."""
    if factory in WITHOUT_DROPBLOCK:
        return FACTORIES[factory](width=width, levels=levels)
    return FACTORIES[factory](width=width, levels=levels, placement=placement)


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """One network: architecture, the grid it works on, and its training.

    `voi_size_zyx` and `spacing_zyx_mm` give the volume of interest; for the localiser the size of a slice (z = 1).
    After each epoch of `epoch_steps` it is validated; `patience` epochs without a better Dice end the training.
    `effects` may show in the scans of phantoms that it learns from. `begin_with` holds weights to train on.
    """

    name: str
    factory: str
    width: int
    voi_size_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    steps: int
    batch: int = 1
    levels: int = 4
    placement: Placement = "bottleneck"
    guided: bool = True  # whether the CTV's network sees the CT inside bladder and rectum
    learning_rate: float = 2e-3
    epoch_steps: int = 100
    patience: int = 15
    effects: Effects = Effects()
    begin_with: Path | None = None

    def build(self) -> nn.Module:
        """A new network with random weights."""
        return build_network(self.factory, width=self.width, levels=self.levels, placement=self.placement)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A bundle to be: its networks and its cohort.

    A clinic's own cases are divided in the same shares; `held_out_cases` only where something is to be compared.
    """

    name: str
    networks: tuple[NetworkRecipe, ...]
    training_cases: int = 255
    validation_cases: int = 35
    held_out_cases: int = 50
    cohort_seed: int = 2021
    seed: int = 0
    notes: str = ""

    def further(self, weights: Mapping[str, Path], share: float) -> Recipe:
        """To train on from weights that are there: a share of the steps, at half the learning rate."""
        networks = (
            replace(
                n,
                begin_with=weights[n.name],
                steps=max(1, round(n.steps * share)),
                learning_rate=n.learning_rate / 2,
            )
            for n in self.networks
        )
        return replace(self, networks=tuple(networks))

    def only(self, names: Collection[str]) -> Recipe:
        """The recipe with some of its networks; raises `ValueError` for a name that it does not have."""
        unknown = set(names) - {network.name for network in self.networks}
        if unknown:
            raise ValueError(f"no network {', '.join(sorted(unknown))} in recipe {self.name}")
        return replace(self, networks=tuple(n for n in self.networks if n.name in names))


SMALL = Recipe(
    name="small",
    notes="Lean networks for two CPU cores; DropBlock from the bottleneck on.",
    networks=(
        NetworkRecipe(
            name=LOCALIZER,
            factory="localization_unet",
            width=12,
            voi_size_zyx=(1, 96, 128),
            spacing_zyx_mm=(3.0, 4.0, 4.0),
            steps=3000,
            batch=16,
        ),
        NetworkRecipe(
            name="CTV",
            factory="ag_mtn",
            width=12,
            voi_size_zyx=(40, 80, 80),
            spacing_zyx_mm=(3.0, 1.5, 1.5),
            steps=2500,
            batch=2,
        ),
        NetworkRecipe(
            name="Bladder",
            factory="bladder_unet",
            width=12,
            voi_size_zyx=(56, 96, 96),
            spacing_zyx_mm=(3.0, 2.0, 2.0),
            steps=2500,
        ),
        NetworkRecipe(
            name="Rectum",
            factory="rectum_unet",
            width=12,
            voi_size_zyx=(56, 80, 64),
            spacing_zyx_mm=(3.0, 2.0, 2.0),
            steps=2500,
        ),
        *(
            NetworkRecipe(
                name=name,
                factory="femoral_head_unet",
                width=12,
                voi_size_zyx=(32, 64, 64),
                spacing_zyx_mm=(3.0, 1.5, 1.5),
                steps=1000,
            )
            for name in ("Femur_Head_L", "Femur_Head_R")
        ),
        NetworkRecipe(
            name="PenileBulb",
            factory="penile_bulb_unet",
            width=12,
            voi_size_zyx=(24, 48, 48),
            spacing_zyx_mm=(3.0, 1.25, 1.25),
            steps=3000,
            batch=2,
        ),
    ),
)

PAPER_VOI, PAPER_BLADDER_VOI = (64, 160, 160), (48, 160, 160)
PAPER_SPACING_ZYX_MM = (3.0, 1.17, 1.17)
GPU_STEPS = {LOCALIZER: 8000, "CTV": 9000, "Rectum": 9000}


def _paper_sized(network: NetworkRecipe) -> NetworkRecipe:
    """The same network with 16 filters on the paper's volume; the localiser on slices twice as fine."""
    sized = replace(network, width=16, steps=GPU_STEPS.get(network.name, 5000), epoch_steps=250)
    if network.name == LOCALIZER:
        return replace(sized, voi_size_zyx=(1, 192, 256), spacing_zyx_mm=(3.0, 2.0, 2.0))
    voi = PAPER_BLADDER_VOI if network.name == "Bladder" else PAPER_VOI
    return replace(sized, voi_size_zyx=voi, spacing_zyx_mm=PAPER_SPACING_ZYX_MM, batch=2)


FULL = Recipe(
    name="full",
    notes="The lean networks at the paper's size, for a GPU; DropBlock from the bottleneck on.",
    networks=tuple(_paper_sized(network) for network in SMALL.networks),
)

PAPER = Recipe(
    name="paper",
    notes="The lean networks at the paper's size with the paper's DropBlock, everywhere.",
    networks=tuple(
        network if network.name == LOCALIZER else replace(network, placement="everywhere")
        for network in FULL.networks
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (SMALL, PAPER, FULL)}
