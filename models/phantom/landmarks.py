"""Where bones and skin are: what the soft organs of a phantom are placed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """Measures of one pelvis in mm: origin midway between the femoral heads, x left, y back, z to the head."""

    head_x: float  # distance of a femoral head's centre from the midline
    head_radius: float
    symphysis_back: float  # y of the posterior surface of the pubic symphysis
    symphysis_top: float
    symphysis_bottom: float
    sacral_z: tuple[float, ...]  # ascending; the first is the tip of the coccyx
    sacral_front: tuple[float, ...]  # y of the front of coccyx, sacrum and spine at these heights
    body_half_width: float  # at the height of the femoral heads
    body_front: float
    body_back: float
    prone: bool  # lies on the front

    @staticmethod
    def read(stored: Mapping[str, Any]) -> Landmarks:
        """From what `asdict` and JSON made of them."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return Landmarks(**values)

    @property
    def coccyx_z(self) -> float:
        """Height of the tip of the coccyx."""
        return self.sacral_z[0]

    def sacrum_y(self, z: float) -> float:
        """Y of the front of sacrum and coccyx at a height; below the tip it stays."""
        return float(np.interp(z, self.sacral_z, self.sacral_front))
