"""A bundle: manifest and weights of all networks, checked before use. safetensors only; nothing is pickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file
from torch import nn

from models.calibration.quality import Prediction
from models.calibration.record import BandRecord, CalibrationRecord
from models.localization import LocalizationUNet
from models.recipes import FACTORIES, LOCALIZER, build_network
from models.stochastic import Placement, StochasticUNet
from models.structures import STRUCTURES
from models.whole_file import digest

MANIFEST = "bundle.json"


class BundleError(Exception):
    """A bundle that cannot be trusted or read; the text says which file and why."""


class Network(BaseModel):
    """One network of a bundle: how to build it, the grid it works on, its weights."""

    model_config = ConfigDict(frozen=True)

    factory: str
    width: int
    levels: int
    voi_size_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    # per site: those of the encoder, if it has any, from full resolution down; then those of the decoders, upwards
    dropblock_keep: tuple[float, ...]
    dropblock_block: int
    placement: Placement = "bottleneck"
    file: str
    sha256: str


class Metric(BaseModel):
    """One figure and the command that measured it."""

    model_config = ConfigDict(frozen=True)

    name: str
    structure: str  # or "organs", pooled
    mean: float
    minimum: float | None = None
    cases: int
    command: str


class Manifest(BaseModel):
    """What a bundle says about itself (`bundle.json`)."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    intended_use: Literal["research-phantom", "clinical"]  # decides the mark on every output
    licence: str
    description: str
    training: dict[str, str | int]
    preprocessing: str
    level: float
    bounds: Literal["paper", "calibrated"]
    calibration: CalibrationRecord | None
    networks: dict[str, Network]
    quality_validated: tuple[str, ...] = ()  # without a record: where quality was seen to follow the true DSC
    metrics: tuple[Metric, ...]

    def band(self, structure: str) -> BandRecord | None:
        """The calibrated band of a structure, if there is a record: only such bounds may be called 95."""
        return self.calibration.bands.get(structure) if self.calibration else None

    def tells_quality(self, structure: str) -> bool:
        """Whether quality was shown to follow the true DSC of a structure; a calibration record decides."""
        if self.calibration is None:
            return structure in self.quality_validated
        record = self.calibration.quality.get(structure)
        return record is not None and record.validated

    def predict_dsc(self, structure: str, quality: float) -> Prediction | None:
        """What a quality says about the true DSC; None where it was not shown to say anything (never for the CTV)."""
        if self.calibration is None or not self.tells_quality(structure):
            return None
        return self.calibration.quality[structure].predict(quality)

    def is_unlike_calibration(self, structure: str, quality: float) -> bool:
        """Whether the passes disagree more than in any calibration case: a sign that the CT is unlike those."""
        record = self.calibration.quality.get(structure) if self.calibration else None
        return record is not None and quality < record.quality[0]

    def weights(self) -> dict[str, str]:
        """SHA-256 of each network's weights."""
        return {name: network.sha256 for name, network in self.networks.items()}


@dataclass(frozen=True)
class Bundle:
    """A bundle whose hashes have been checked, with its networks in memory, in `eval()` mode."""

    manifest: Manifest
    sha256: str  # of the manifest, which holds the hashes of all weights
    localizer: LocalizationUNet
    networks: Mapping[str, StochasticUNet]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.localizer.parameters()).device


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Manifest and its SHA-256; raises `BundleError`."""
    file = folder / MANIFEST
    try:
        text = file.read_bytes()
        return Manifest.model_validate_json(text), hashlib.sha256(text).hexdigest()
    except OSError as error:
        raise BundleError(f"{folder.name}: no readable {MANIFEST}") from error
    except ValidationError as error:
        raise BundleError(
            f"{folder.name}: {MANIFEST} is not a valid manifest ({error.error_count()} errors)"
        ) from error


def load_bundle(folder: Path, *, device: torch.device | None = None) -> Bundle:
    """Check every hash, then build and load the networks; raises `BundleError`."""
    manifest, digest = read_manifest(folder)
    missing = {LOCALIZER, *(s.name for s in STRUCTURES)} - set(manifest.networks)
    if missing:
        raise BundleError(f"{manifest.name}: no network for {', '.join(sorted(missing))}")
    if manifest.calibration is not None and manifest.calibration.weights != manifest.weights():
        raise BundleError(
            f"{manifest.name}: the calibration record was made for other weights; calibrate again"
        )
    networks = {name: _load_network(folder, name, spec) for name, spec in manifest.networks.items()}
    for network in networks.values():
        network.to(device or torch.device("cpu")).eval()
    localizer = networks.pop(LOCALIZER)
    if not isinstance(localizer, LocalizationUNet):
        raise BundleError(f"{manifest.name}: the localiser has the wrong architecture")
    stochastic = {name: n for name, n in networks.items() if isinstance(n, StochasticUNet)}
    return Bundle(manifest, digest, localizer, stochastic)


def _load_network(folder: Path, name: str, spec: Network) -> nn.Module:
    file = folder / Path(spec.file).name
    if not file.is_file():
        raise BundleError(f"{name}: the weights {spec.file} are missing")
    if digest(file) != spec.sha256:
        raise BundleError(f"{name}: {spec.file} is not the file the manifest was written for (hash differs)")
    if spec.factory not in FACTORIES:
        raise BundleError(f"{name}: unknown architecture {spec.factory}")
    network = build_network(spec.factory, width=spec.width, levels=spec.levels, placement=spec.placement)
    try:
        network.load_state_dict(load_file(file))
    except RuntimeError as error:
        raise BundleError(f"{name}: the weights do not fit the architecture {spec.factory}") from error
    if isinstance(network, StochasticUNet):
        for layer, keep in zip(network.dropblocks(), spec.dropblock_keep, strict=False):
            layer.keep, layer.block = keep, spec.dropblock_block
    return network


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `bundle.json`."""
    (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
