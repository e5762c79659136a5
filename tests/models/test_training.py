"""A short training run: it learns, and a killed run goes on exactly where it stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.recipes import SMALL
from models.structures import STRUCTURES
from models.training import loop
from models.training.cases import Case, save_case

BULB = next(n for n in SMALL.networks if n.name == "PenileBulb")
TINY = replace(BULB, width=8, levels=3, voi_size_zyx=(16, 32, 32), spacing_zyx_mm=(3.0, 1.5, 1.5), batch=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    bit = [s.name for s in STRUCTURES].index("PenileBulb")
    z, y, x = np.ogrid[:20, :60, :60]
    paths = []
    for index in range(3):
        ball = ((z - 10) * 3) ** 2 + ((y - 28 - index) * 1.5) ** 2 + ((x - 30) * 1.5) ** 2 < 10**2
        hu = np.where(ball, 80, -90).astype(np.int16)
        paths.append(folder / f"{index}.npz")
        save_case(Case(hu=hu, labels=ball.astype(np.uint8) << bit, spacing_zyx_mm=(3.0, 1.5, 1.5)), paths[-1])
    return paths


def train(recipe, cases, folder):
    return loop.train_network(
        recipe, training=cases[:2], validation=cases[2:], folder=folder, seed=0, report=lambda *_: None
    )


def test_it_learns(cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "EPOCH_STEPS", 15)
    progress = train(replace(TINY, steps=45), cases, tmp_path)
    first, *_, last = [row["loss"] for row in progress.history]
    assert last < first - 0.15


def test_a_resumed_run_takes_the_same_steps(cases, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "EPOCH_STEPS", 4)
    recipe = replace(TINY, steps=8)
    train(recipe, cases, tmp_path / "whole")
    stop_at_four = iter(range(100))

    def killed(*_):
        if next(stop_at_four) == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train_network(
            recipe,
            training=cases[:2],
            validation=cases[2:],
            folder=tmp_path / "cut",
            seed=0,
            report=killed,
        )
    train(recipe, cases, tmp_path / "cut")
    whole = load_file(tmp_path / "whole" / "state.safetensors")
    cut = load_file(tmp_path / "cut" / "state.safetensors")
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
