"""From a finished training run to a bundle that ships."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.bundle import Manifest, Metric, Network, write_manifest
from models.recipes import NetworkRecipe, Recipe
from models.stochastic import BLOCK, StochasticUNet
from models.structures import ORGANS
from models.training.checkpoint import Checkpoint
from models.training.cohort import PREPARED
from models.training.run import standing
from models.whole_file import digest

QUALITY_METRIC, QUALITY_R2 = "quality R2", 0.5
OF_PHANTOMS = (
    "Trained on digital phantoms only. It has never seen a patient and must not be used to treat one; "
    "it exists to run, test and commission the software."
)
OF_PREPARED_CASES = (
    "Trained on a clinic's prepared cases. "
    "Nobody has commissioned it: it must not be used to treat a patient."
)


def make_bundle(
    recipe: Recipe, run: Path, out: Path, *, version: str, facts: Mapping[str, str | int] | None = None
) -> Manifest:
    """Copy the best weights of every network into `out` and write the manifest; `with_metrics` adds figures.

    `facts` are the cohort's (`Cohort.facts`) and whatever else one must know to train it again.
    """
    out.mkdir(parents=True, exist_ok=True)
    networks = {
        network.name: _network(network, Checkpoint(run / network.name).best, out)
        for network in recipe.networks
    }
    manifest = Manifest(
        name=out.name,
        version=version,
        intended_use="research-phantom",
        licence="Apache-2.0",
        description=OF_PREPARED_CASES if (facts or {}).get("cohort") == PREPARED else OF_PHANTOMS,
        training={
            "recipe": recipe.name,
            "seed": recipe.seed,
            **{f"steps {network.name}": _steps_done(network, run) for network in recipe.networks},
            **(facts or {}),
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


def is_complete(recipe: Recipe, run: Path) -> bool:
    """Whether every network of the recipe has weights to ship."""
    return all(Checkpoint(run / network.name).best.exists() for network in recipe.networks)


def with_metrics(manifest: Manifest, metrics: Sequence[Metric], *, out: Path) -> Manifest:
    """The manifest with figures measured on held-out cases.

    Quality counts as validated for the organs when, pooled over them as in the paper, it explains at least half of
    the variance of the true DSC; for the CTV never (paper, Results).
    """
    explained = max((m.mean for m in metrics if m.name == QUALITY_METRIC), default=0.0)
    organs = tuple(organ.name for organ in ORGANS) if explained >= QUALITY_R2 else ()
    complete = manifest.model_copy(update={"metrics": tuple(metrics), "quality_validated": organs})
    write_manifest(complete, out)
    return complete


def _steps_done(network: NetworkRecipe, run: Path) -> int:
    """Steps that were taken: all, or those up to the early stop."""
    step = standing(network, run / network.name).step
    return step or network.steps


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
        placement=recipe.placement,
        file=target.name,
        sha256=digest(target),
    )
