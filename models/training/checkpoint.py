"""Where training stands, on disk: weights, their average, the optimiser's state. safetensors only, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.whole_file import write_whole


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
        weights = network.state_dict()
        present = [weights[name].detach() for name in self.weights]
        torch._foreach_lerp_(list(self.weights.values()), present, 1 - decay)


@dataclass
class Progress:
    """Steps done, and per epoch its last step, its mean loss and its validation Dice."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def best_dice(self) -> float:
        """Of the best epoch; 0 before the first."""
        return max((row["dice"] for row in self.history), default=0.0)

    @property
    def epochs_since_best(self) -> int:
        """Epochs since the first that reached the best Dice; 0 if the last is the best."""
        dice = [row["dice"] for row in self.history]
        return len(dice) - 1 - dice.index(max(dice)) if dice else 0

    def end_epoch(self, *, loss: float, dice: float) -> None:
        """Note what an epoch came to."""
        self.history.append({"step": self.step, "loss": loss, "dice": dice})


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
        """Write the best weights, the progress and last the state: a kill in between repeats the epoch, exactly."""
        if progress.epochs_since_best == 0:
            self._write("best.safetensors", averaged.weights)
        write_whole(self.folder / "progress.json", json.dumps(vars(progress), indent=1))
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in averaged.weights.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors["step"] = torch.tensor(progress.step)
        self._write("state.safetensors", tensors)

    def _write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        partial = self.folder / f"{name}.part"
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, partial)
        partial.replace(self.folder / name)

    def restore(self, network: nn.Module, averaged: Averaged, optimizer: torch.optim.Optimizer) -> Progress:
        """Take up where the last checkpoint stopped; a fresh `Progress` when there is none."""
        state_file = self.folder / "state.safetensors"
        if not state_file.exists():
            return Progress()
        tensors = load_file(state_file)
        network.load_state_dict(_under("network.", tensors))
        for name, weight in _under("averaged.", tensors).items():
            averaged.weights[name].copy_(weight)
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            states.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        step = int(tensors["step"])
        history = json.loads((self.folder / "progress.json").read_text())["history"]
        return Progress(step, [row for row in history if row["step"] <= step])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
