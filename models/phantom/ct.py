"""Anatomy to CT numbers: tissues with their spread, partial volume, texture, gas, stool, clips, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.phantom import shapes
from models.phantom.anatomy import LEFT, RIGHT, Anatomy
from models.phantom.lattice import FloatArray, Lattice, Points
from models.phantom.variation import scanner_noise, texture

AIR_HU = -1000.0
SLAB_VOXELS = 1_500_000  # voxels rendered at once: keeps the working set near 200 MB


@dataclass(frozen=True, kw_only=True)
class Tissues:
    """CT numbers (HU) of one scan, drawn per case (SCIENCE 4.3)."""

    fat: float
    muscle: float
    urine: float
    wall: float
    stool: float
    gas: float
    marrow: float
    cortex: float
    bulb: float
    bowel: float
    noise: float
    grain_px: float
    blur_px: float
    seed: int

    @staticmethod
    def draw(rng: np.random.Generator) -> Tissues:
        """Draw a scanner's and a patient's CT numbers; some bladders hold contrast."""
        muscle = rng.normal(55, 8)
        contrast = rng.uniform(120, 600) if rng.random() < 0.08 else 0.0
        return Tissues(
            fat=rng.normal(-100, 8),
            muscle=muscle,
            urine=rng.normal(6, 6) + contrast,
            wall=rng.normal(36, 7),
            stool=rng.normal(25, 30),
            gas=rng.uniform(-1000, -700),
            marrow=rng.uniform(120, 330),
            cortex=rng.uniform(600, 1250),
            bulb=muscle + rng.uniform(6, 30),
            bowel=rng.normal(32, 10),
            noise=rng.uniform(4, 22),
            grain_px=rng.uniform(0.5, 1.1),
            blur_px=rng.uniform(0.35, 0.8),
            seed=int(rng.integers(2**32)),
        )


def render_ct(anatomy: Anatomy, tissues: Tissues, lattice: Lattice) -> NDArray[np.int16]:
    """The CT of one phantom in HU, (z, y, x) int16."""
    slices = lattice.shape_zyx[0]
    step = max(1, SLAB_VOXELS // (lattice.shape_zyx[1] * lattice.shape_zyx[2]))
    slabs = [
        _render_slab(anatomy, tissues, lattice.slab(first, min(first + step, slices)), first)
        for first in range(0, slices, step)
    ]
    return np.concatenate(slabs)


def _render_slab(anatomy: Anatomy, tissues: Tissues, lattice: Lattice, index: int) -> NDArray[np.int16]:
    rng = np.random.default_rng([tissues.seed, index])
    canvas = _Canvas(anatomy.warp.points(lattice), lattice)
    _paint_soft_tissue(canvas, anatomy, tissues)
    _paint_bones(canvas, anatomy, tissues)
    _paint_bowel(canvas, anatomy, tissues, rng)
    _paint_bladder(canvas, anatomy, tissues)
    for clip in anatomy.clips:
        canvas.paint(shapes.ellipsoid(canvas.points, clip, (2.0, 1.5, 2.0)), 2600.0)
    inside = canvas.hu > -300
    canvas.hu += inside * texture(rng, lattice, grain_mm=6.0) * np.float32(6)
    canvas.paint(_couch(canvas.lattice, anatomy), -250.0, over_air_only=True)
    blurred = gaussian_filter(canvas.hu, (0.0, tissues.blur_px, tissues.blur_px))
    noisy = blurred + scanner_noise(rng, lattice.shape_zyx, grain_px=tissues.grain_px) * np.float32(
        tissues.noise
    )
    return np.asarray(np.clip(np.round(noisy), -1024, 3071), dtype=np.int16)


class _Canvas:
    """HU of a slab; each shape is painted over what is there, with its share of each edge voxel."""

    def __init__(self, points: Points, lattice: Lattice) -> None:
        self.points = points
        self.lattice = lattice
        self.hu = np.full(lattice.shape_zyx, AIR_HU, dtype=np.float32)
        self.edge_mm = np.float32(max(lattice.spacing_zyx_mm[1:]))

    def paint(self, field: FloatArray, hu: float | FloatArray, *, over_air_only: bool = False) -> None:
        """Paint where the field is negative; partial volume over one voxel's width."""
        share = np.clip(0.5 - field / self.edge_mm, 0, 1)
        if over_air_only:
            share = share * (self.hu < -900)
        self.hu += share * (hu - self.hu)


def _paint_soft_tissue(canvas: _Canvas, anatomy: Anatomy, tissues: Tissues) -> None:
    p = canvas.points
    body = anatomy.body(p)
    canvas.paint(body, 20.0)  # skin
    canvas.paint(body + 2.0, tissues.fat)
    muscle = shapes.intersection(body + np.float32(anatomy.fat_thickness), _trunk_muscle(anatomy, p))
    canvas.paint(muscle, tissues.muscle)
    cavity = shapes.ellipsoid(p, (0, 10, 62), (78, 62, 98))
    floor = shapes.ellipsoid(p, (0, anatomy.bulb_centre[1], anatomy.bulb_centre[2] - 4), (30, 32, 9))
    canvas.paint(cavity, tissues.fat)
    canvas.paint(floor, tissues.muscle - 12)
    for side in (LEFT, RIGHT):
        canvas.paint(shapes.intersection(anatomy.gluteus(p, side), body + 8.0), tissues.muscle)
        canvas.paint(anatomy.obturator_internus(p, side), tissues.muscle)
        canvas.paint(anatomy.crus(p, side), tissues.bulb)
    canvas.paint(anatomy.levator(p), tissues.muscle)
    canvas.paint(anatomy.penile_bulb(p), tissues.bulb)


def _trunk_muscle(anatomy: Anatomy, p: Points) -> FloatArray:
    """Everything within the fat but the ischiorectal fossae and the fat around the rectum."""
    fossa = [
        shapes.ellipsoid(p.mirrored(side), (34, anatomy.rectum_knots[1][2] + 4, -42), (14, 24, 30))
        for side in (LEFT, RIGHT)
    ]
    return shapes.intersection(*[-f for f in fossa])


def _paint_bones(canvas: _Canvas, anatomy: Anatomy, tissues: Tissues) -> None:
    p = canvas.points
    bones = [anatomy.sacrum(p)]
    bones += [anatomy.hip_bone(p, side) for side in (LEFT, RIGHT)]
    for side in (LEFT, RIGHT):
        joint = shapes.ellipsoid(p.mirrored(side), (anatomy.head_x, 0, 0), (anatomy.head_radius + 3.5,) * 3)
        canvas.paint(joint, tissues.muscle - 10)
    for bone in bones:
        canvas.paint(bone, tissues.cortex)
        canvas.paint(bone + np.float32(2.4), tissues.marrow)
    for side in (LEFT, RIGHT):
        femur = anatomy.femur(p, side)
        canvas.paint(femur, tissues.cortex * 0.8)
        canvas.paint(femur + np.float32(1.8), tissues.marrow + 60)
    gap = shapes.ellipsoid(
        p,
        (0, anatomy.symphysis_y, (anatomy.symphysis_top + anatomy.symphysis_bottom) / 2),
        (3, 9, anatomy.symphysis_height / 2),
    )
    canvas.paint(gap, 110.0)


def _paint_bowel(canvas: _Canvas, anatomy: Anatomy, tissues: Tissues, rng: np.random.Generator) -> None:
    p = canvas.points
    loops = anatomy.bowel_loops(p)
    canvas.paint(loops, tissues.bowel)
    canvas.paint(loops + np.float32(3), tissues.bowel - 15)
    tube = anatomy.bowel_tube(p)
    tube = shapes.intersection(tube, shapes.between(p, anatomy.rectum_low - 40, 500))
    canvas.paint(tube, tissues.wall + 6)
    lumen = shapes.intersection(tube + np.float32(3.2), np.float32(anatomy.rectum_low + 2) - p.z)
    stool = tissues.stool + 25 * texture(rng, canvas.lattice, grain_mm=8.0)
    canvas.paint(lumen, stool)
    if anatomy.gas_share > 0:
        # Gas rises to the front of a patient who lies on the back: a meniscus at a fixed share of the lumen.
        table = np.asarray(anatomy.rectum_knots)
        middle = np.interp(p.z, table[:, 0], table[:, 2])
        half = np.interp(p.z, table[:, 0], table[:, 4]) - 3.2
        meniscus = p.y - (middle + half * (2 * anatomy.gas_share - 1)).astype(np.float32)
        canvas.paint(shapes.intersection(lumen + np.float32(0.5), meniscus), tissues.gas)


def _paint_bladder(canvas: _Canvas, anatomy: Anatomy, tissues: Tissues) -> None:
    bladder = anatomy.bladder(canvas.points)
    wall_mm = np.float32(4.5 if anatomy.bladder_radii[0] < 35 else 2.8)
    canvas.paint(bladder, tissues.wall)
    canvas.paint(bladder + wall_mm, tissues.urine)


def _couch(lattice: Lattice, anatomy: Anatomy) -> FloatArray:
    """A curved carbon table below the patient; it does not move with the patient's warp."""
    y = lattice.axis_mm(1).reshape(1, -1, 1)
    x = lattice.axis_mm(2).reshape(1, 1, -1)
    top = np.float32(anatomy.body_centre_y + anatomy.body_half_depth + 14) - x**2 * np.float32(0.0004)
    plate = np.abs(y - top) - np.float32(1.5)
    return np.broadcast_to(np.maximum(plate, np.abs(x) - 250), lattice.shape_zyx).astype(np.float32)
