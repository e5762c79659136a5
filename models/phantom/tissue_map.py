"""Paint one anatomy as a map of tissues: later things cover earlier ones, but only where they may be."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from models.phantom import shapes
from models.phantom.anatomy import LEFT, RIGHT, Anatomy
from models.phantom.lattice import FloatArray, Lattice, Points
from models.phantom.tissue import Tissue

SKIN_MM = 1.8
FAT_PLANE_MM = 1.2  # between two muscles
MUSCLES = {
    "gluteal": Tissue.GLUTEAL,
    "thigh": Tissue.THIGH,
    "iliopsoas": Tissue.ILIOPSOAS,
    "obturator": Tissue.OBTURATOR,
    "wall": Tissue.ABDOMINAL_WALL,
}
CORTEX_MM = {"hip": 1.8, "spine": 1.3, "femur": 2.2}
SHAFT_BELOW_MM, SHAFT_CORTEX_MM = -45.0, 6.0
FATTY = (Tissue.FAT, Tissue.PELVIC_FAT)
BONY = (Tissue.CORTEX, Tissue.MARROW, Tissue.FEMUR_MARROW, Tissue.CARTILAGE)


def paint(anatomy: Anatomy, lattice: Lattice) -> NDArray[np.uint8]:
    """The tissue map of one phantom, (z, y, x) uint8 of `Tissue`.

    Cost: about 1 µs a voxel on one core; memory some 60 bytes a voxel.
    """
    canvas = _Canvas(anatomy.points(lattice))
    _paint_body(canvas, anatomy, anatomy.skin_waves.at(lattice.points()))
    _paint_floor(canvas, anatomy)
    _paint_vessels_and_bowel(canvas, anatomy)
    _paint_rectum(canvas, anatomy)
    _paint_bladder_and_bed(canvas, anatomy)
    _paint_metal(canvas, anatomy)
    _paint_surroundings(canvas, anatomy, lattice.points())
    return canvas.codes


class _Canvas:
    """Codes (z, y, x) and the points they are at, in the phantom's own space."""

    def __init__(self, p: Points) -> None:
        self.p = p
        self.codes = np.zeros(p.shape, np.uint8)

    def paint(
        self,
        field: FloatArray,
        tissue: Tissue,
        *,
        over: Collection[Tissue] = (),
        sparing: Collection[Tissue] = (),
    ) -> None:
        """Paint where the field is negative; `over` limits it to some tissues, `sparing` keeps some."""
        inside = field < 0
        rows = np.flatnonzero(inside.any((1, 2)))
        if len(rows) == 0:
            return
        part = slice(rows[0], rows[-1] + 1)
        inside, codes = inside[part], self.codes[part]
        if over:
            inside &= np.isin(codes, np.array([int(t) for t in over], np.uint8))
        if sparing:
            inside &= ~np.isin(codes, np.array([int(t) for t in sparing], np.uint8))
        codes[inside] = tissue


def _paint_body(canvas: _Canvas, anatomy: Anatomy, waves: FloatArray) -> None:
    p, pelvis = canvas.p, anatomy.pelvis
    groups = ("body", "cavity", "disc", *MUSCLES, *CORTEX_MM)
    fields = dict(zip(groups, pelvis.at(p, *groups), strict=True))
    skin = _skin(canvas, anatomy, fields) - waves
    canvas.paint(skin, Tissue.SKIN)
    canvas.paint(skin + np.float32(SKIN_MM), Tissue.FAT)
    canvas.paint(shapes.intersection(fields["cavity"], skin + np.float32(8)), Tissue.PELVIC_FAT)
    for name, tissue in MUSCLES.items():
        canvas.paint(fields[name] + np.float32(FAT_PLANE_MM / 2), tissue)
    canvas.paint(fields["disc"], Tissue.CARTILAGE)
    for side in (LEFT, RIGHT):
        canvas.paint(anatomy.head_ball(p, side) - np.float32(3), Tissue.CARTILAGE, over=FATTY)
    symphysis = (0.0, anatomy.marks.symphysis_back - 9, anatomy.marks.symphysis_bottom + 16)
    canvas.paint(shapes.ellipsoid(p, symphysis, (7, 10, 19)), Tissue.CARTILAGE, over=FATTY)
    for name, cortex in CORTEX_MM.items():
        marrow = Tissue.FEMUR_MARROW if name == "femur" else Tissue.MARROW
        shaft = np.clip((SHAFT_BELOW_MM - p.z) / 20, 0, 1) if name == "femur" else np.zeros_like(p.z)
        thickness = cortex + (SHAFT_CORTEX_MM - cortex) * shaft
        canvas.paint(fields[name], Tissue.CORTEX)
        canvas.paint(np.asarray(fields[name] + thickness, dtype=np.float32), marrow)


def _skin(canvas: _Canvas, anatomy: Anatomy, fields: dict[str, FloatArray]) -> FloatArray:
    """The atlas' skin with more or less fat beneath, never nearer than 3 mm to muscle or bone."""
    p = canvas.p
    everywhere, belly = anatomy.growth
    front = np.clip((20 - p.y) / 80, 0, 1) * np.clip((p.z + 40) / 100, 0, 1)
    growth = np.float32(everywhere) + np.float32(belly) * front
    solid = shapes.union(*(fields[name] for name in (*MUSCLES, "hip", "femur")))
    return shapes.union(fields["body"] - np.asarray(growth, np.float32), solid - np.float32(3))


def _paint_floor(canvas: _Canvas, anatomy: Anatomy) -> None:
    p, floor = canvas.p, anatomy.floor
    canvas.paint(floor.corpora(p), Tissue.CORPORA, over=(*FATTY, Tissue.THIGH))
    canvas.paint(floor.perineum(p), Tissue.LEVATOR, over=(*FATTY, Tissue.OBTURATOR))
    canvas.paint(floor.levator(p, anatomy.rectum.column(p, 2)), Tissue.LEVATOR, over=FATTY)
    canvas.paint(floor.bulb(p), Tissue.BULB, sparing=BONY)


def _paint_vessels_and_bowel(canvas: _Canvas, anatomy: Anatomy) -> None:
    p, prone = canvas.p, anatomy.marks.prone
    for start, end, radius in anatomy.vessels.rods:
        tube = shapes.capsule(p, start, end, radius)
        canvas.paint(tube, Tissue.VESSEL, sparing=(Tissue.AIR, Tissue.SKIN, *BONY))
        if anatomy.vessels.calcified:
            speck = shapes.ellipsoid(p, start, (radius * 0.35,) * 3)
            canvas.paint(speck, Tissue.BONE_ISLAND, over=(Tissue.VESSEL,))
    for loop in anatomy.bowel:
        box, q = p.near(*_ends(loop.start, loop.end, loop.radius + 2))
        if q.x.size == 0:
            continue
        part = _Part(canvas, box, q)
        tube = loop.field(q)
        part.paint(tube, Tissue.BOWEL_WALL, over=(Tissue.PELVIC_FAT, Tissue.BOWEL_WALL))
        filling = Tissue.STOOL if loop.stool else Tissue.BOWEL_CONTENT
        lumen = tube + np.float32(2.2)
        part.paint(lumen, filling, over=(Tissue.BOWEL_WALL,))
        if loop.gas > 0:
            gas = shapes.intersection(lumen, loop.gas_surface(q, prone=prone))
            part.paint(gas, Tissue.BOWEL_GAS, over=(filling,))


def _paint_rectum(canvas: _Canvas, anatomy: Anatomy) -> None:
    p, rectum = canvas.p, anatomy.rectum
    tube = rectum.tube(p)
    canvas.paint(tube, Tissue.RECTAL_WALL, sparing=(Tissue.AIR, Tissue.SKIN, *BONY))
    canal = shapes.intersection(tube - np.float32(3), np.asarray(p.z - np.float32(rectum.low + 6)))
    canvas.paint(canal, Tissue.LEVATOR, over=FATTY)  # sphincter
    lumen = rectum.lumen(p, tube)
    canvas.paint(lumen, Tissue.STOOL, over=(Tissue.RECTAL_WALL,))
    gas = shapes.intersection(lumen, rectum.gas_surface(p, prone=anatomy.marks.prone))
    canvas.paint(gas, Tissue.RECTAL_GAS, over=(Tissue.STOOL,))


def _paint_bladder_and_bed(canvas: _Canvas, anatomy: Anatomy) -> None:
    p, bed, bladder = canvas.p, anatomy.bed, anatomy.bladder
    soft = (*FATTY, Tissue.LEVATOR)
    canvas.paint(bed.blobs(p, bed.scar), Tissue.SCAR, over=soft)
    if bed.vesicles:
        canvas.paint(bed.blobs(p, bed.vesicles), Tissue.SEMINAL_VESICLE, over=(*soft, Tissue.SCAR))
    if bed.mass is not None:
        canvas.paint(bed.blobs(p, (bed.mass,)), Tissue.SOFT_MASS, over=(*soft, Tissue.SCAR))
    if bed.spacer is not None:
        canvas.paint(bed.blobs(p, (bed.spacer,)), Tissue.SPACER, over=(*soft, Tissue.SCAR))
    wall = anatomy.bladder_wall(p)
    canvas.paint(wall, Tissue.BLADDER_WALL)
    canvas.paint(wall + np.float32(bladder.wall), Tissue.URINE)
    if bladder.catheter:
        x, y, z = bladder.centre
        balloon = shapes.ellipsoid(p, (x, y, bladder.bottom_z + bladder.wall + 11), (10, 10, 10))
        canvas.paint(balloon, Tissue.CATHETER, over=(Tissue.URINE,))
        tube = shapes.capsule(p, (x, y, bladder.bottom_z + 10), (x, y - 5, bladder.bottom_z - 40), 2.5)
        canvas.paint(tube, Tissue.CATHETER, sparing=(Tissue.AIR, *BONY))


def _paint_metal(canvas: _Canvas, anatomy: Anatomy) -> None:
    p = canvas.p
    for (x, y, z), half in anatomy.bed.clips:
        clip = shapes.capsule(p, (x, y - half, z), (x, y + half, z), 0.9)
        canvas.paint(clip, Tissue.CLIP, sparing=(Tissue.AIR, Tissue.URINE, *BONY))
    for side in anatomy.metal_hips:
        x, r = anatomy.marks.head_x, anatomy.marks.head_radius
        q = p.mirrored(side)
        stem = shapes.capsule(q, (x + 30, 8, -28), (x + 38, 8, -150), 8.0)
        neck = shapes.capsule(q, (x, 0, 0), (x + 32, 8, -30), 7.0)
        cup = shapes.intersection(
            shapes.ellipsoid(q, (x, 0, 0), (r + 4,) * 3), q.x - np.float32(x + 8) - 0.7 * q.z
        )
        canvas.paint(
            shapes.union(stem, neck, shapes.ellipsoid(q, (x, 0, 0), (r * 0.75,) * 3), cup), Tissue.PROSTHESIS
        )


def _paint_surroundings(canvas: _Canvas, anatomy: Anatomy, scanner: Points) -> None:
    marks, around = anatomy.marks, anatomy.surroundings
    air = (Tissue.AIR,)
    stretch = anatomy.pose.stretch_xyz
    if around.arms:
        hands = around.hands(canvas.p, marks.body_half_width + anatomy.growth[0])
        canvas.paint(hands, Tissue.SKIN, over=air)
        canvas.paint(hands + np.float32(2), Tissue.THIGH, over=(Tissue.SKIN,))
        canvas.paint(hands + np.float32(15), Tissue.CORTEX, over=(Tissue.THIGH,))
        canvas.paint(hands + np.float32(18), Tissue.MARROW, over=(Tissue.CORTEX,))
    body = canvas.codes != Tissue.AIR
    if around.couch and body.any():
        rows = np.flatnonzero(body.any((0, 2)))
        y = scanner.y.ravel()[rows[0] if marks.prone else rows[-1]]
        plate = around.couch_plate(scanner, float(y), prone=marks.prone)
        inner = np.broadcast_to(plate, canvas.codes.shape)
        canvas.paint(inner, Tissue.COUCH, over=air)
        canvas.paint(inner + np.float32(2.0 * stretch[1]), Tissue.CLOTH, over=(Tissue.COUCH,))  # foam within
    if around.cloth_gap is not None:
        skin = anatomy.pelvis.at(canvas.p, "body")[0] - np.float32(anatomy.growth[0] + around.cloth_gap)
        shell = np.abs(skin - np.float32(1.2)) - np.float32(1.2)
        canvas.paint(shell, Tissue.CLOTH, over=air)


class _Part(_Canvas):
    """A box of another canvas: what is painted here is painted there."""

    def __init__(self, whole: _Canvas, box: tuple[slice, slice, slice], p: Points) -> None:
        self.p = p
        self.codes = whole.codes[box]


def _ends(
    start: tuple[float, float, float], end: tuple[float, float, float], reach: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    low = tuple(min(a, b) - reach for a, b in zip(start, end, strict=True))
    high = tuple(max(a, b) + reach for a, b in zip(start, end, strict=True))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
