"""Fit the atlas of the pelvis to label maps of real ones: signed distances per group, in one common frame.

Source of the shipped atlas: bones and muscles drawn on cases 001, 002, 004, 005 of the Pelvic Reference Data (Yorke
et al. 2019, The Cancer Imaging Archive, 10.7937/TCIA.2019.woskq5oo) by github.com/yuta-hi/pelvic-annonation, MIT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantom.atlas import BODY_STEP_MM, GROUPS, STEP_MM, Atlas
from models.phantom.landmarks import Landmarks

Mask = NDArray[np.bool_]

# Which labels of the maps make which group (names as in labels.json, without "_muscle").
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "hip": ("pelvis",),
    "femur": ("femur",),
    "spine": ("sacrum", "spine"),
    "gluteal": ("gluteus_maximus", "gluteus_medius", "gluteus_minimus"),
    "thigh": (
        "pectineus",
        "adductor_muscles",
        "biceps_femoris",
        "gracilis",
        "rectus_femoris",
        "sartorius",
        "semimembranosus",
        "semitendinosus",
        "tensor_fasciae_latae",
        "vastus_lateralis_muscle_and_vastus_intermedius",
        "vastus_medialis",
    ),
    "iliopsoas": ("iliacus", "psoas_major"),
    "obturator": ("obturator_externus", "obturator_internus", "piriformis"),
    "wall": ("erector_spinae", "quadratus_lumborum", "rectus_abdominis", "latissimus_dorsi", "oblique"),
}
LOW_ZYX_MM, HIGH_ZYX_MM = (-170.0, -190.0, -232.0), (230.0, 170.0, 232.0)  # the atlas' frame, mm
HEAD_REACH_MM = 45.0  # the head's centre lies no further below the femur's top
MIDLINE_MM = 12.0
SYMPHYSIS_MM = 34.0  # least height; the maps leave the cartilage out


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """One labelled pelvis, axes along the patient's: (z, y, x), x to the left, y to the back, z to the head."""

    labels: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]
    names: Mapping[str, int]

    def group(self, name: str) -> Mask:
        """Voxels of a group."""
        numbers = [n for label, n in self.names.items() if label.removesuffix("_muscle") in MEMBERS[name]]
        return np.isin(self.labels, numbers)


def fit_atlas(maps: Sequence[LabelMap], *, spacing_mm: float) -> Atlas:
    """Bring label maps into one frame: origin midway between the femoral heads, these on the x axis; sizes stay.

    Cost: about 25 s a map at 4 mm, one core.
    """
    placed = [_Placed.of(one) for one in maps]
    shape = [int(round((h - low) / spacing_mm)) + 1 for low, h in zip(LOW_ZYX_MM, HIGH_ZYX_MM, strict=True)]
    fields = np.empty((len(placed), len(GROUPS), *shape), np.int8)
    landmarks = []
    for number, one in enumerate(placed):
        masks = one.masks()
        for channel, name in enumerate(GROUPS):
            step = BODY_STEP_MM if name == "body" else STEP_MM
            distance = _sample(_signed_distance(masks[name], one.spacing), one, shape, spacing_mm)
            fields[number, channel] = np.clip(np.round(distance / step), -127, 127)
        landmarks.append(_landmarks(fields[number], one, spacing_mm))
    return Atlas(fields=fields, landmarks=tuple(landmarks), spacing_mm=spacing_mm, low_zyx_mm=LOW_ZYX_MM)


@dataclass(frozen=True)
class _Placed:
    """A map, thinned out in the slice to 2 mm, with its femoral heads."""

    source: LabelMap
    stride: int
    heads: NDArray[np.float64]  # centres of the right and the left one, (2, 3) z y x mm in the map
    head_radius: float

    @staticmethod
    def of(source: LabelMap) -> _Placed:
        stride = max(1, round(2.0 / source.spacing_zyx_mm[2]))
        one = _Placed(source, stride, np.zeros((2, 3)), 0.0)
        femur = one.group("femur")
        middle = int(np.argwhere(femur)[:, 2].mean())
        right, left = femur.copy(), femur.copy()
        right[:, :, middle:] = left[:, :, :middle] = False
        (c0, r0), (c1, r1) = _head(right, one.spacing, medial=1), _head(left, one.spacing, medial=-1)
        return _Placed(source, stride, np.array([c0, c1]), (r0 + r1) / 2)

    @property
    def spacing(self) -> NDArray[np.float64]:
        return np.array(self.source.spacing_zyx_mm) * (1, self.stride, self.stride)

    def group(self, name: str) -> Mask:
        return self.source.group(name)[:, :: self.stride, :: self.stride]

    def masks(self) -> dict[str, Mask]:
        masks = {name: self.group(name) for name in MEMBERS}
        masks["body"] = self.source.labels[:, :: self.stride, :: self.stride] > 0
        masks["cavity"] = self._cavity(masks)
        column = np.ones((5, 3, 3), bool)  # 15 mm along z: what lies between two vertebrae
        masks["disc"] = ndimage.binary_closing(masks["spine"], column) & ~masks["wall"]
        return masks

    def _cavity(self, masks: Mapping[str, Mask]) -> Mask:
        """What lies between bones, muscles and abdominal wall: where bladder, rectum and bowel may be."""
        ring = masks["hip"] | masks["spine"] | masks["wall"] | masks["iliopsoas"] | masks["obturator"]
        solid = np.logical_or.reduce([masks[name] for name in MEMBERS])
        cavity = np.zeros_like(ring)
        for z in range(len(ring)):
            if np.count_nonzero(ring[z]) > 50:
                cavity[z] = _filled_hull(ring[z]) & ~solid[z]
        spine_y = np.array([np.argwhere(s)[:, 0].max() if s.any() else 10**6 for s in masks["spine"]])
        cavity &= np.arange(cavity.shape[1])[None, :, None] < spine_y[:, None, None]
        opened = ndimage.binary_opening(cavity, iterations=2)
        labels, count = ndimage.label(opened)
        largest = 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count else 1
        return np.asarray(labels == largest)

    @property
    def axes(self) -> NDArray[np.float64]:
        """Rows: the frame's z, y, x as directions of the map."""
        x = self.heads[1] - self.heads[0]
        x /= np.linalg.norm(x)
        z = np.array([1.0, 0.0, 0.0]) - x[0] * x
        z /= np.linalg.norm(z)
        y = np.array([0.0, 1.0, 0.0]) - x[1] * x - (z[1]) * z
        return np.stack([z, y / np.linalg.norm(y), x])


def _head(femur: Mask, spacing: NDArray[np.float64], *, medial: int) -> tuple[NDArray[np.float64], float]:
    """Sphere (centre z y x mm, radius) through the upper medial surface of one femur; `medial` is that way's x sign."""
    inside = ndimage.distance_transform_edt(femur, sampling=spacing)
    inside[: int(np.argwhere(femur)[:, 0].max() - HEAD_REACH_MM / spacing[0])] = 0
    centre = np.array(np.unravel_index(inside.argmax(), inside.shape)) * spacing
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(600, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    rays = rays[rays @ np.array([1.0, 0, medial]) > 0.3]
    steps = np.arange(0, 40, 0.5)
    index = np.rint((centre + rays[:, None] * steps[None, :, None]) / spacing).astype(int)
    z, y, x = (np.clip(index[..., a], 0, femur.shape[a] - 1) for a in range(3))
    exits = centre + rays * steps[np.argmin(femur[z, y, x], axis=1)][:, None]
    # |s - c|² = r² is linear in c and r² - |c|²
    design = np.column_stack([2 * exits, np.ones(len(exits))])
    solution = np.linalg.lstsq(design, (exits**2).sum(1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _filled_hull(ring: Mask) -> Mask:
    from skimage.morphology import convex_hull_image  # slow to import, needed here only

    return np.asarray(convex_hull_image(ring))  # type: ignore[no-untyped-call]


def _signed_distance(mask: Mask, spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance to the mask's surface in mm, negative inside; 0 half way between two voxels."""
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing)
    half = float(spacing[1]) / 2
    return np.asarray(np.where(mask, half - inside, outside - half), dtype=np.float32)


def _sample(
    field: NDArray[np.float32], one: _Placed, shape: Sequence[int], spacing_mm: float
) -> NDArray[np.float32]:
    centre = one.heads.mean(0)
    matrix = one.axes.T  # from the frame to the map
    scale = matrix * spacing_mm / one.spacing[:, None]
    offset = (centre + matrix @ np.array(LOW_ZYX_MM)) / one.spacing
    carried = ndimage.affine_transform(
        field, scale, offset, output_shape=tuple(shape), order=1, mode="nearest"
    )
    return np.asarray(carried, dtype=np.float32)


def _landmarks(fields: NDArray[np.int8], one: _Placed, spacing_mm: float) -> Landmarks:
    """Measure what the soft organs are placed by, in the common frame."""
    axes = [low + spacing_mm * np.arange(n) for low, n in zip(LOW_ZYX_MM, fields.shape[1:], strict=True)]
    z, y, x = axes
    hip, spine = (fields[GROUPS.index(name)] < 0 for name in ("hip", "spine"))
    middle = abs(x) < MIDLINE_MM
    pubis = hip[:, :, middle].any(2) & (y < 0)[None, :]
    heights = z[pubis.any(1)]
    back = [y[row].max() for row in pubis[pubis.any(1)]]
    sacrum = spine[:, :, abs(x) < 16].any(2)
    rows = np.flatnonzero(sacrum.any(1))
    front = [float(y[sacrum[r]].min()) for r in rows]
    body = fields[GROUPS.index("body")] < 0
    level = body[np.abs(z).argmin()]
    profile = level[:, abs(x) < 100]
    front_y = y[profile.argmax(0)]
    back_y = y[len(y) - 1 - profile[::-1].argmax(0)]
    return Landmarks(
        head_x=float(np.linalg.norm(one.heads[1] - one.heads[0]) / 2),
        head_radius=one.head_radius,
        symphysis_back=float(np.median(back)),
        symphysis_top=float(heights.max()),
        symphysis_bottom=float(min(heights.min(), heights.max() - SYMPHYSIS_MM)),
        sacral_z=tuple(float(z[r]) for r in rows),
        sacral_front=tuple(front),
        body_half_width=float(np.ptp(x[level.any(0)]) / 2),
        body_front=float(y[level.any(1)].min()),
        body_back=float(y[level.any(1)].max()),
        prone=bool(front_y.std() < back_y.std()),  # the side one lies on is flat
    )
