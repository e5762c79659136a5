"""From a finished training run to a bundle that ships."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.bundle import Manifest, Metric, Network, write_manifest
from models.recipes import NetworkRecipe, Recipe
from models.stochastic import BLOCK, StochasticUNet

DESCRIPTION = (
    "Trained on digital phantoms only. It has never seen a patient and must not be used to treat one; "
    "it exists to run, test and commission the software."
)


def make_bundle(recipe: Recipe, run: Path, out: Path, *, version: str) -> Manifest:
    """Copy the best weights of every network into `out` and write the manifest; figures are added by `with_metrics`."""
    out.mkdir(parents=True, exist_ok=True)
    networks = {
        network.name: _network(network, run / network.name / "best.safetensors", out)
        for network in recipe.networks
    }
    manifest = Manifest(
        name=out.name,
        version=version,
        intended_use="research-phantom",
        licence="Apache-2.0",
        description=DESCRIPTION,
        training={
            "recipe": recipe.name,
            "cohort": "models.phantom",
            "cohort_seed": recipe.cohort_seed,
            "training_cases": recipe.training_cases,
            "validation_cases": recipe.validation_cases,
            "command": f"penumbra train --recipe {recipe.name} --out RUN",
        },
        preprocessing="soft-tissue window and tanh(HU/1000); CTV: and the CT inside bladder and rectum",
        level=0.5,
        bounds="paper",
        calibration=None,
        networks=networks,
        metrics=(),
    )
    write_manifest(manifest, out)
    return manifest


def with_metrics(
    manifest: Manifest, summary: Sequence[dict[str, object]], *, command: str, out: Path
) -> Manifest:
    """The manifest with figures measured by `penumbra evaluate`, each with the command."""
    metrics = tuple(
        Metric.model_validate(
            {
                "name": "DSC",
                "structure": row["structure"],
                "mean": row["dsc_mean"],
                "minimum": row["dsc_min"],
                "cases": row["cases"],
                "command": command,
            }
        )
        for row in summary
    )
    complete = manifest.model_copy(update={"metrics": metrics})
    write_manifest(complete, out)
    return complete


def _network(recipe: NetworkRecipe, weights: Path, out: Path) -> Network:
    target = out / f"{recipe.name.lower()}.safetensors"
    shutil.copyfile(weights, target)
    built = recipe.build()
    keep = tuple(layer.keep for layer in built.dropblocks()) if isinstance(built, StochasticUNet) else ()
    return Network(
        factory=recipe.factory,
        width=recipe.width,
        levels=recipe.levels,
        voi_size_zyx=recipe.voi_size_zyx,
        spacing_zyx_mm=recipe.spacing_zyx_mm,
        dropblock_keep=keep,
        dropblock_block=BLOCK,
        file=target.name,
        sha256=hashlib.sha256(target.read_bytes()).hexdigest(),
    )
