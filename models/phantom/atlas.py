"""Bones, muscles and skin of real pelves as signed distances in one frame.

The shipped atlas is fitted to the label maps of four pelves (`atlas_fit` names the source). A phantom takes one,
turned, stretched and warped, so that bones and muscles have real shapes while no phantom is one of the four.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points

GROUPS = (
    "body", "cavity", "disc", "gluteal", "thigh", "iliopsoas", "obturator", "wall", "hip", "femur", "spine"
)  # fmt: skip
STEP_MM, BODY_STEP_MM = 0.125, 0.5  # what one unit of the stored int8 is
SHIPPED = Path(__file__).with_name("atlas.npz")


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """Signed distances of every group of every pelvis.

    Attributes:
        fields: (pelvis, group, z, y, x) int8, in units of `STEP_MM` (`BODY_STEP_MM` for the body), negative inside.
        landmarks: one per pelvis.
        spacing_mm: of the grid, the same along all axes.
        low_zyx_mm: its first voxel's centre.
    """

    fields: NDArray[np.int8]
    landmarks: tuple[Landmarks, ...]
    spacing_mm: float
    low_zyx_mm: tuple[float, float, float]

    def save(self, path: Path) -> None:
        """Write as .npz; numbers only."""
        text = json.dumps([asdict(one) for one in self.landmarks])
        np.savez_compressed(
            path, fields=self.fields, landmarks=text, spacing_mm=self.spacing_mm, low_zyx_mm=self.low_zyx_mm
        )

    def pelvis(self, number: int, *, mirrored: bool = False) -> Pelvis:
        """One pelvis of the atlas; `mirrored` exchanges left and right."""
        fields = torch.from_numpy(self.fields[number]).float() * STEP_MM
        fields[GROUPS.index("body")] *= BODY_STEP_MM / STEP_MM
        if mirrored:
            fields = fields.flip(-1)
        return Pelvis(fields, self.landmarks[number], self.spacing_mm, self.low_zyx_mm)


@lru_cache(maxsize=2)
def load_atlas(path: Path = SHIPPED) -> Atlas:
    """Read an atlas."""
    with np.load(path, allow_pickle=False) as stored:
        low = stored["low_zyx_mm"]
        return Atlas(
            fields=stored["fields"],
            landmarks=tuple(Landmarks.read(one) for one in json.loads(str(stored["landmarks"]))),
            spacing_mm=float(stored["spacing_mm"]),
            low_zyx_mm=(float(low[0]), float(low[1]), float(low[2])),
        )


@dataclass(frozen=True)
class Pelvis:
    """Bones, muscles and skin of one phantom: fields (group, z, y, x) in mm, and the landmarks."""

    fields: torch.Tensor
    landmarks: Landmarks
    spacing_mm: float
    low_zyx_mm: tuple[float, float, float]

    def at(self, p: Points, *groups: str) -> list[FloatArray]:
        """The groups' fields at points, each (z, y, x) in mm; trilinear, beyond the atlas as at its edge."""
        grid = torch.empty((*p.shape, 3), dtype=torch.float32)
        extent = self.fields.shape[1:]
        for axis, (c, low, n) in enumerate(
            zip((p.x, p.y, p.z), self.low_zyx_mm[::-1], extent[::-1], strict=True)
        ):
            unit = (c - np.float32(low)) * np.float32(2 / (self.spacing_mm * (n - 1))) - np.float32(1)
            grid[..., axis] = torch.as_tensor(np.ascontiguousarray(unit))
        chosen = self.fields[[GROUPS.index(name) for name in groups]][None]
        sampled = F.grid_sample(
            chosen, grid[None], mode="bilinear", padding_mode="border", align_corners=True
        )
        return list(sampled[0].numpy())
