"""One digital pelvis: where its organs, bones and muscles are. No CT numbers here, no CTV either.

Positions in mm, x to the patient's left, y to the back, z to the head; origin between the femoral heads.
Sizes are drawn wider than patients', since a network must not meet its limits in the clinic (SCIENCE 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.phantom import shapes
from models.phantom.lattice import FloatArray, Points
from models.phantom.variation import Warp

LEFT, RIGHT = 1, -1


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The measures of one man, drawn once; all fields follow from them."""

    body_half_width: float
    body_half_depth: float
    body_centre_y: float
    fat_thickness: float
    head_x: float  # distance of a femoral head's centre from the midline
    head_radius: float
    symphysis_y: float
    symphysis_top: float
    symphysis_height: float
    bladder_centre: tuple[float, float, float]
    bladder_radii: tuple[float, float, float]
    bladder_dent: float  # depth in mm to which bowel presses on the dome
    bulb_centre: tuple[float, float, float]
    bulb_radii: tuple[float, float, float]
    rectum_knots: tuple[tuple[float, float, float, float, float], ...]  # z, x, y, radius x, radius y
    rectum_low: float
    rectum_high: float
    gas_share: float
    bowel: tuple[tuple[float, float, float, float], ...]  # x, y, z, radius of loops
    levator_half_width: tuple[float, float]  # at the apex and at the symphysis' top
    asymmetry: float
    clips: tuple[tuple[float, float, float], ...]
    warp: Warp

    @property
    def symphysis_bottom(self) -> float:
        """Height of the lower edge of the pubic symphysis, mm."""
        return self.symphysis_top - self.symphysis_height

    @property
    def anastomosis_z(self) -> float:
        """Height of the vesicourethral anastomosis: the lowest point of the bladder, mm."""
        return self.bladder_centre[2] - self.bladder_radii[2]

    def body(self, p: Points) -> FloatArray:
        """Skin surface."""
        torso = shapes.ellipsoid(
            p, (0, self.body_centre_y, 0), (self.body_half_width, self.body_half_depth, 1200.0)
        )
        thighs = [
            shapes.capsule(
                p.mirrored(side), (75, self.body_centre_y, -70), (85, self.body_centre_y, -420), 84
            )
            for side in (LEFT, RIGHT)
        ]
        upper = shapes.intersection(torso, np.float32(-115) - p.z)
        return shapes.union(upper, *thighs)

    def bladder(self, p: Points) -> FloatArray:
        """Outer wall of the bladder; a full dome is dented by bowel from above."""
        x, y, z = self.bladder_centre
        a, b, c = self.bladder_radii
        whole = shapes.ellipsoid(p, self.bladder_centre, self.bladder_radii)
        if self.bladder_dent <= 0:
            return whole
        press = shapes.ellipsoid(
            p, (x + 0.3 * a, y + 0.2 * b, z + c + 22 - self.bladder_dent), (a * 0.8, b, 22)
        )
        return shapes.blend(whole, -press, 6.0)

    def bowel_tube(self, p: Points) -> FloatArray:
        """Outer wall of rectum, anal canal and the beginning of the sigmoid, as one tube."""
        return shapes.tube(p, self.rectum_knots)

    def rectum(self, p: Points) -> FloatArray:
        """The part of the tube that is contoured: anorectal junction to rectosigmoid flexure."""
        return shapes.intersection(self.bowel_tube(p), shapes.between(p, self.rectum_low, self.rectum_high))

    def femoral_head(self, p: Points, side: int) -> FloatArray:
        """The ball of one femur."""
        return shapes.ellipsoid(p.mirrored(side), (self.head_x, 0, 0), (self.head_radius,) * 3)

    def femur(self, p: Points, side: int) -> FloatArray:
        """Head, neck, greater trochanter and shaft of one femur."""
        q = p.mirrored(side)
        x, r = self.head_x, self.head_radius
        neck = shapes.capsule(q, (x, 0, 0), (x + 44, 10, -32), r * 0.62)
        trochanter = shapes.ellipsoid(q, (x + 52, 16, -28), (15, 18, 22))
        shaft = shapes.capsule(q, (x + 46, 12, -45), (x + 34, 12, -420), 15.5)
        return shapes.union(self.femoral_head(p, side), neck, trochanter, shaft)

    def hip_bone(self, p: Points, side: int) -> FloatArray:
        """Ilium, acetabulum, pubis and ischium of one side, with a joint space around the head."""
        q = p.mirrored(side)
        x, r, mid = self.head_x, self.head_radius, (self.symphysis_top + self.symphysis_bottom) / 2
        cup = shapes.intersection(
            shapes.ellipsoid(q, (x - 4, 0, 4), (r + 14, r + 13, r + 15)),
            q.x - np.float32(x + 10) - 0.5 * q.z,
        )
        ilium = shapes.slanted_plate(q, (x + 6, 8, 78), (9, 46, 72), 0.28)
        body = shapes.ellipsoid(q, (15, self.symphysis_y, mid), (12, 9, self.symphysis_height / 2))
        ramus = shapes.capsule(q, (20, self.symphysis_y, self.symphysis_top - 8), (x - 16, -14, 6), 8.5)
        lower = shapes.capsule(
            q, (14, self.symphysis_y + 4, self.symphysis_bottom + 8), (x - 32, 22, -62), 7.5
        )
        ischium = shapes.capsule(q, (x - 10, 26, -4), (x - 28, 28, -62), 13.0)
        bone = shapes.union(cup, ilium, body, ramus, lower, ischium)
        joint = shapes.ellipsoid(q, (x, 0, 0), (r + 3.5,) * 3)
        return shapes.intersection(bone, -joint)

    def sacrum(self, p: Points) -> FloatArray:
        """Sacrum and coccyx along their curve."""
        y = self.rectum_knots[3][2] + 34
        knots = [
            (-12, 0, y - 16, 7, 5),
            (14, 0, y - 2, 14, 7),
            (55, 0, y + 8, 34, 13),
            (120, 0, y - 22, 52, 26),
        ]
        return shapes.intersection(shapes.tube(p, knots), shapes.between(p, -14, 400))

    def obturator_internus(self, p: Points, side: int) -> FloatArray:
        """The muscle that lines the pelvic wall beside the prostate bed."""
        return shapes.slanted_plate(p.mirrored(side), (self.head_x - 31, 2, -8), (9, 38, 46), 0.12)

    def gluteus(self, p: Points, side: int) -> FloatArray:
        """Gluteus maximus and medius, as one mass behind and beside the hip."""
        q = p.mirrored(side)
        back = shapes.ellipsoid(q, (78, self.body_centre_y + self.body_half_depth * 0.62, 10), (62, 30, 110))
        flank = shapes.slanted_plate(q, (self.head_x + 34, 6, 70), (22, 62, 80), 0.2)
        return shapes.union(back, flank)

    def levator_x(self, p: Points) -> FloatArray:
        """Half width in mm of the funnel between the levator muscles, by height."""
        low, high = self.levator_half_width
        apex, top = self.symphysis_bottom - 4, self.symphysis_top
        share = np.clip((p.z - apex) / (top - apex), 0, 1.6)
        return np.asarray(low + (high - low) * share, dtype=np.float32)

    def levator(self, p: Points) -> FloatArray:
        """The two thin muscle plates of the pelvic floor, 4 mm thick."""
        distance = np.abs(np.abs(p.x) - self.levator_x(p) - 2) - 2
        y = self.rectum_knots[2][2]
        span = shapes.intersection(
            shapes.between(p, self.symphysis_bottom - 10, self.symphysis_top + 8),
            np.float32(self.symphysis_y + 18) - p.y,
            p.y - np.float32(y + 18),
        )
        return shapes.intersection(np.asarray(distance, dtype=np.float32), span)

    def penile_bulb(self, p: Points) -> FloatArray:
        """The bulb of the corpus spongiosum, below the urogenital diaphragm."""
        return shapes.ellipsoid(p, self.bulb_centre, self.bulb_radii)

    def crus(self, p: Points, side: int) -> FloatArray:
        """The root of one corpus cavernosum along the lower pubic ramus."""
        _, y, z = self.bulb_centre
        return shapes.capsule(p.mirrored(side), (13, y - 20, z + 4), (34, y + 12, z - 8), 6.0)

    def bowel_loops(self, p: Points) -> FloatArray:
        """Loops of small bowel above the bladder."""
        return shapes.union(
            *[shapes.ellipsoid(p, (x, y, z), (r * 1.3, r, r * 1.1)) for x, y, z, r in self.bowel]
        )


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw one man's measures in mm."""
    size = rng.uniform(0.92, 1.08)
    fat = rng.uniform(10, 42)
    symphysis_top = rng.uniform(-14, 4)
    symphysis_height = size * rng.uniform(33, 43)
    symphysis_y = -size * rng.uniform(42, 56)
    bladder_centre, bladder_radii = _draw_bladder(rng, symphysis_top, symphysis_y)
    bulb_z = symphysis_top - symphysis_height - rng.uniform(0, 12)
    knots, low, high = _draw_rectum(rng, bulb_z)
    dome = bladder_centre[2] + bladder_radii[2]
    return Anatomy(
        body_half_width=130 * size + rng.uniform(25, 55) + fat,
        body_half_depth=78 * size + rng.uniform(8, 28) + fat,
        body_centre_y=rng.uniform(2, 18),
        fat_thickness=fat,
        head_x=size * rng.uniform(82, 97),
        head_radius=size * rng.uniform(22.5, 26.5),
        symphysis_y=symphysis_y,
        symphysis_top=symphysis_top,
        symphysis_height=symphysis_height,
        bladder_centre=bladder_centre,
        bladder_radii=bladder_radii,
        bladder_dent=float(max(0.0, rng.uniform(-8, 14))),
        bulb_centre=(rng.normal(0, 1.5), symphysis_y + rng.uniform(36, 50), bulb_z),
        bulb_radii=(rng.uniform(8, 12), rng.uniform(9, 14), rng.uniform(7.5, 12)),
        rectum_knots=knots,
        rectum_low=low,
        rectum_high=high,
        gas_share=float(max(0.0, rng.uniform(-0.5, 0.8))),
        bowel=tuple(
            (rng.uniform(-75, 75), rng.uniform(-55, 35), dome + rng.uniform(10, 95), rng.uniform(10, 17))
            for _ in range(int(rng.integers(8, 22)))
        ),
        levator_half_width=(rng.uniform(15, 19), rng.uniform(26, 34)),
        asymmetry=rng.normal(0, 1.5),
        clips=tuple(
            (side * rng.uniform(12, 30), rng.uniform(-12, 22), symphysis_top + rng.uniform(-14, 40))
            for side in rng.choice([LEFT, RIGHT], size=int(rng.integers(0, 7)))
        ),
        warp=Warp.draw(rng, rms_mm=rng.uniform(1.0, 2.6)),
    )


def _draw_bladder(
    rng: np.random.Generator, symphysis_top: float, symphysis_y: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre and radii of a bladder of 60 to 600 cc that rests behind the symphysis."""
    volume_mm3 = 1000 * np.exp(rng.uniform(np.log(60), np.log(600)))
    shape = np.array([rng.uniform(0.95, 1.3), rng.uniform(0.75, 1.05), rng.uniform(0.8, 1.2)])
    a, b, c = shape * (volume_mm3 / (4 / 3 * np.pi * shape.prod())) ** (1 / 3)
    b = min(b, 50.0)
    bottom = symphysis_top - rng.uniform(6, 20)
    front = symphysis_y + 14 + rng.uniform(0, 8)
    return (rng.normal(0, 3), front + b, bottom + c), (float(a), float(b), float(c))


def _draw_rectum(
    rng: np.random.Generator, bulb_z: float
) -> tuple[tuple[tuple[float, float, float, float, float], ...], float, float]:
    """Knots of the bowel tube (z, x, y, radius x, radius y), and the heights between which it is rectum."""
    low = bulb_z - rng.uniform(-6, 4)
    high = rng.uniform(62, 92)
    wide = rng.uniform(14, 26)
    back = rng.uniform(44, 60)
    sway = rng.normal(0, 4, size=3)
    knots = (
        (low - 45, 0.0, back - 2, 9.0, 11.0),
        (low, 0.0, back - 16, 11.0, 12.0),
        (low + 28, sway[0], back - 6, wide * 0.75, wide * 0.72),
        (10.0, sway[1], back + 4, wide, wide * 0.95),
        (45.0, sway[2], back + 14, wide * 0.95, wide * 0.85),
        (high, sway[2] + 3, back + 2, wide * 0.85, wide * 0.8),
        (high + 45, sway[2] + 30, back - 32, 15.0, 14.0),
    )
    return knots, low, high
