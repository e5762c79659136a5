"""Curves of a training as a picture: one panel per network, loss and validation Dice over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

History = Sequence[Mapping[str, float]]  # rows with step, loss, dice
COLUMNS = 3
LOSS_COLOUR, DICE_COLOUR = "#8a8a8a", "#1f77b4"


def draw_curves(histories: Mapping[str, History], out: Path) -> None:
    """Write the picture (PNG), either whole or not at all."""
    rows = max(1, -(-len(histories) // COLUMNS))
    figure = Figure(figsize=(4.2 * COLUMNS, 2.8 * rows), layout="constrained")
    for place, (name, history) in enumerate(histories.items(), start=1):
        losses = figure.add_subplot(rows, COLUMNS, place)
        steps = [row["step"] for row in history]
        losses.plot(steps, [row["loss"] for row in history], color=LOSS_COLOUR, marker=".", markersize=3)
        losses.set(title=name, xlabel="step")
        losses.set_ylabel("loss", color=LOSS_COLOUR)
        dice = losses.twinx()
        dice.plot(steps, [row["dice"] for row in history], color=DICE_COLOUR, marker=".", markersize=3)
        dice.set_ylim(-0.02, 1)
        dice.set_ylabel("validation Dice", color=DICE_COLOUR)
    partial = out.with_suffix(".part.png")
    figure.savefig(partial)
    partial.replace(out)
