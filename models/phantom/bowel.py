"""Small bowel, sigmoid and the vessels of the pelvis: what fills the cavity above bladder and rectum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.landmarks import Landmarks
from models.phantom.lattice import FloatArray, Points, Vector


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One piece of bowel: a rod from start to end (mm) with a share of gas; `stool` in the sigmoid."""

    start: Vector
    end: Vector
    radius: float
    gas: float
    stool: bool

    def field(self, p: Points) -> FloatArray:
        """Outer wall."""
        return shapes.capsule(p, self.start, self.end, self.radius)

    def gas_surface(self, p: Points, *, prone: bool) -> FloatArray:
        """Negative where gas stands, above a level surface."""
        up = 1.0 if prone else -1.0
        middle = (self.start[1] + self.end[1]) / 2
        level = middle * up + self.radius * (1 - 2 * self.gas)
        return np.asarray(np.float32(level) - p.y * np.float32(up), dtype=np.float32)


def draw_bowel(rng: np.random.Generator, marks: Landmarks, floor_z: float) -> tuple[Loop, ...]:
    """Loops wind through the cavity from `floor_z` upwards; the cavity's walls cut them (mm)."""
    loops: list[Loop] = []
    front, back = marks.body_front + 25, marks.sacrum_y(110) - 15
    for _ in range(int(rng.integers(6, 20))):
        stool = bool(rng.random() < 0.25)
        radius = rng.uniform(15, 24) if stool else rng.uniform(8, 17)
        at = np.array([rng.uniform(-75, 75), rng.uniform(front, back), floor_z + rng.uniform(-15, 120)])
        heading = rng.normal(size=3)
        for _ in range(int(rng.integers(4, 12))):
            heading = heading / np.linalg.norm(heading) + rng.normal(0, 0.6, 3)
            step = heading / np.linalg.norm(heading) * rng.uniform(18, 36)
            after = np.clip(at + step, (-95, front, floor_z - 25), (95, back, floor_z + 200))
            gas = float(np.clip(rng.uniform(-1.2, 1.0), 0, 1))
            loops.append(Loop(start=_vector(at), end=_vector(after), radius=radius, gas=gas, stool=stool))
            at = after
    return tuple(loops)


@dataclass(frozen=True, kw_only=True)
class Vessels:
    """Iliac and femoral vessels of both sides, and the great vessels above: rods (start, end, radius)."""

    rods: tuple[tuple[Vector, Vector, float], ...]
    calcified: bool

    @staticmethod
    def draw(rng: np.random.Generator, marks: Landmarks) -> Vessels:
        """Each side an artery and a vein, from the groin to the promontory."""
        x, spine = marks.head_x, marks.sacrum_y(150)
        rods: list[tuple[Vector, Vector, float]] = []
        for side in (1, -1):
            for apart, radius in ((0.0, rng.uniform(3.5, 6)), (10.0, rng.uniform(4.5, 7.5))):
                path = np.array(
                    [
                        (side * (x - 8 - apart), -46, -75),
                        (side * (x - 14 - apart), -44, 0),
                        (side * (x - 26 - apart * 0.6), -18 + apart * 0.5, 55),
                        (side * (x - 48), 0.5 * spine + apart, 110),
                        (side * (10 - 0.4 * apart), spine - 12, 155),
                        (side * 10, spine - 12, 235),
                    ]
                )
                path += rng.normal(0, 3, path.shape)
                rods += [(_vector(a), _vector(b), radius) for a, b in zip(path[:-1], path[1:], strict=True)]
        return Vessels(rods=tuple(rods), calcified=bool(rng.random() < 0.3))


def _vector(a: np.ndarray) -> Vector:
    return float(a[0]), float(a[1]), float(a[2])
