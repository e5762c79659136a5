"""Where training stands, on disk: weights, their average, the optimiser's state. safetensors only, nothing pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass
class Averaged:
    """Exponential moving average of a network's weights: what is validated and shipped."""

    weights: dict[str, Tensor]

    @staticmethod
    def of(network: nn.Module) -> Averaged:
        """Start from the network's present weights."""
        return Averaged({name: w.detach().clone() for name, w in network.state_dict().items()})

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network; early in training quickly, later with a memory of some 250 steps."""
        decay = min(0.996, (1 + step) / (10 + step))
        for name, weight in network.state_dict().items():
            self.weights[name].lerp_(weight.detach(), 1 - decay)


@dataclass
class Progress:
    """Steps done and what validation said."""

    step: int = 0
    best_dice: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)


class Checkpoint:
    """The files of one network's run: `state.safetensors`, `best.safetensors`, `progress.json`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @property
    def best(self) -> Path:
        """Averaged weights of the best validation."""
        return self.folder / "best.safetensors"

    def save(
        self, network: nn.Module, averaged: Averaged, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        """Write state, then progress: a kill in between repeats some steps and loses none."""
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in averaged.weights.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors["step"] = torch.tensor(progress.step)
        partial = self.folder / "state.part"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, partial)
        partial.replace(self.folder / "state.safetensors")
        partial = self.folder / "progress.part"
        partial.write_text(json.dumps(vars(progress), indent=1))
        partial.replace(self.folder / "progress.json")

    def save_best(self, averaged: Averaged) -> None:
        """Keep the averaged weights as the ones to ship."""
        partial = self.folder / "best.part"
        save_file({k: v.contiguous() for k, v in averaged.weights.items()}, partial)
        partial.replace(self.best)

    def restore(self, network: nn.Module, averaged: Averaged, optimizer: torch.optim.Optimizer) -> Progress:
        """Take up where the last checkpoint stopped; a fresh `Progress` when there is none."""
        state_file = self.folder / "state.safetensors"
        if not state_file.exists():
            return Progress()
        tensors = load_file(state_file)
        network.load_state_dict(_under("network.", tensors))
        averaged.weights = _under("averaged.", tensors)
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            states.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        progress = Progress(**json.loads((self.folder / "progress.json").read_text()))
        progress.step = int(tensors["step"])
        progress.history = [row for row in progress.history if row["step"] <= progress.step]
        return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
