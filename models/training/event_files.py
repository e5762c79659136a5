"""Curves of a training for TensorBoard: one event file per start, read with `tensorboard --logdir RUN/tensorboard`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from models.training.checkpoint import Progress

MISSING = "No curves for TensorBoard: tensorboardX is not installed (pip install 'penumbra-rt[train]')."


def can_write_events() -> bool:
    """Whether the optional library is there."""
    return find_spec("tensorboardX") is not None


class EventFile:
    """Writes the end of each epoch; without the library it writes nothing."""

    def __init__(self, folder: Path, *, next_step: int) -> None:
        """Go on in `folder`; what a killed run wrote from `next_step` on is taken back."""
        self._writer = None
        if can_write_events():
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=next_step, write_to_disk=True)

    def add(self, progress: Progress) -> None:
        """Loss and validation Dice of the last epoch."""
        if self._writer is not None:
            row = progress.history[-1]
            self._writer.add_scalar("loss", row["loss"], progress.step)
            self._writer.add_scalar("validation Dice", row["dice"], progress.step)
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
