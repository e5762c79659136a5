"""Train all networks of a recipe, some at a time, each in a process of its own on one core."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from models.recipes import NetworkRecipe, Recipe
from models.training.cases import draw_cases
from models.training.loop import train_network

POLL_S = 2.0


@dataclass(frozen=True)
class Standing:
    """How far one network is."""

    name: str
    step: int
    steps: int
    dice: float


OnStanding = Callable[[Standing], None]
OnCase = Callable[[int, int], None]


def prepare_phantoms(recipe: Recipe, folder: Path, *, workers: int, on_case: OnCase) -> list[Path]:
    """Draw the recipe's cohort (cases that are there already are kept), in order of their index."""
    count = recipe.training_cases + recipe.validation_cases
    drawn: list[Path] = []
    for path in draw_cases(folder, seed=recipe.cohort_seed, count=count, workers=workers):
        drawn.append(path)
        on_case(len(drawn), count)
    return sorted(drawn)


def train_recipe(
    recipe: Recipe, cases: Sequence[Path], out: Path, *, jobs: int, on_standing: OnStanding
) -> None:
    """Train every network of the recipe into `out/<network>/`; resumes what was begun."""
    split = recipe.training_cases
    training, validation = list(cases[:split]), list(cases[split:])
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running: dict[Future[None], NetworkRecipe] = {
            pool.submit(_train_one, network, (training, validation), out / network.name, recipe.seed): network
            for network in recipe.networks
        }
        pending = set(running)
        while pending:
            done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            for network in recipe.networks:
                on_standing(_standing(network, out / network.name))


def _train_one(network: NetworkRecipe, cases: tuple[list[Path], list[Path]], folder: Path, seed: int) -> None:
    torch.set_num_threads(1)
    training, validation = cases
    train_network(
        network, training=training, validation=validation, folder=folder, seed=seed, report=lambda *_: None
    )


def _standing(network: NetworkRecipe, folder: Path) -> Standing:
    file = folder / "progress.json"
    stored = json.loads(file.read_text()) if file.exists() else {"step": 0, "best_dice": 0.0}
    return Standing(network.name, int(stored["step"]), network.steps, float(stored["best_dice"]))
