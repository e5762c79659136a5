"""Train all networks of a recipe, some at a time, each in a process of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.recipes import NetworkRecipe
from models.training.checkpoint import Progress
from models.training.cohort import Cohort
from models.training.curves import draw_curves
from models.training.event_files import EventFile
from models.training.loop import is_finished, train_network

POLL_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far one network is: the best Dice so far, the last loss, and the time left, None while it is not known."""

    name: str
    step: int
    steps: int
    dice: float
    loss: float
    seconds_left: float | None
    finished: bool


OnStandings = Callable[[Sequence[Standing]], None]


@dataclass(frozen=True)
class Compute:
    """Where training runs: some processes, one device."""

    pool: Executor
    device: torch.device


def train_networks(
    networks: Mapping[str, NetworkRecipe],
    cohort: Cohort | Mapping[str, Cohort],
    out: Path,
    *,
    seed: int,
    compute: Compute,
    on_standings: OnStandings,
) -> None:
    """Train every network into the folder `out/<key>/`, on one cohort or each on its own; resumes what was begun.

    The longest begin, so that none is left to the end alone. `on_standings` is called every few seconds. If one
    network fails the others go on; then its error is raised.
    """
    cohorts = dict.fromkeys(networks, cohort) if isinstance(cohort, Cohort) else cohort
    pending = {
        compute.pool.submit(
            _train_one, networks[name], cohorts[name], out / name, seed=seed, device=str(compute.device)
        )
        for name in sorted(networks, key=lambda name: _cost(networks[name]), reverse=True)
    }
    drawn: dict[str, int] = {}
    errors: list[BaseException] = []
    while pending:
        done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
        errors += [error for future in done if (error := future.exception()) is not None]
        on_standings([standing(network, out / name) for name, network in networks.items()])
        drawn = _redraw(networks, out, drawn)
    if errors:
        raise errors[0]


def standing(network: NetworkRecipe, folder: Path) -> Standing:
    """What a network's folder says about its training."""
    progress = Progress(**_stored(folder / "progress.json", default={"step": 0, "history": []}))
    pulse = _stored(folder / "pulse.json", default={"step": 0, "loss": math.nan, "seconds_per_step": None})
    finished = is_finished(network, progress)
    step = progress.step if finished else max(progress.step, pulse["step"])
    rate = pulse["seconds_per_step"]
    return Standing(
        name=folder.name,
        step=step,
        steps=network.steps,
        dice=progress.best_dice,
        loss=pulse["loss"],
        seconds_left=None if rate is None or finished else rate * (network.steps - step),
        finished=finished,
    )


def _train_one(network: NetworkRecipe, cohort: Cohort, folder: Path, *, seed: int, device: str) -> None:
    torch.set_num_threads(1)
    begun = _stored(folder / "progress.json", default={"step": 0})["step"]
    with EventFile(folder.parent / "tensorboard" / folder.name, next_step=begun + 1) as events:
        train_network(network, cohort, folder, seed=seed, device=torch.device(device), report=events.add)


def _cost(network: NetworkRecipe) -> float:
    return network.steps * network.batch * math.prod(network.voi_size_zyx)


def _redraw(networks: Collection[str], out: Path, drawn: Mapping[str, int]) -> dict[str, int]:
    """Draw `curves.png` anew if an epoch has ended since; returns the epochs that are in it."""
    histories = {
        name: _stored(out / name / "progress.json", default={"history": []})["history"] for name in networks
    }
    epochs = {name: len(history) for name, history in histories.items()}
    if epochs != drawn and any(epochs.values()):
        draw_curves(histories, out / "curves.png")
    return epochs


def _stored(file: Path, *, default: dict[str, Any]) -> dict[str, Any]:
    """What a JSON file holds, or the default where there is none."""
    return dict(json.loads(file.read_text())) if file.exists() else default
