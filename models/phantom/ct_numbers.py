"""The CT numbers of one scan's tissues: what a scanner, a patient and contrast media make of each (HU)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.phantom.effects import Effects
from models.phantom.tissue import Tissue

Numbers = dict[Tissue, float]
PerTissue = tuple[float, ...]  # one number per tissue, in the order of its codes

MUSCLES = (
    Tissue.GLUTEAL,
    Tissue.THIGH,
    Tissue.ILIOPSOAS,
    Tissue.OBTURATOR,
    Tissue.ABDOMINAL_WALL,
    Tissue.LEVATOR,
)
# Soft tissues that random CT numbers may swap, by groups that keep together.
SOFT_GROUPS: tuple[tuple[Tissue, ...], ...] = (
    (Tissue.FAT, Tissue.PELVIC_FAT),
    MUSCLES,
    (Tissue.BLADDER_WALL,),
    (Tissue.URINE,),
    (Tissue.RECTAL_WALL,),
    (Tissue.STOOL,),
    (Tissue.BULB,),
    (Tissue.CORPORA,),
    (Tissue.BOWEL_WALL,),
    (Tissue.BOWEL_CONTENT,),
    (Tissue.VESSEL,),
    (Tissue.SEMINAL_VESICLE,),
    (Tissue.SOFT_MASS, Tissue.SCAR),
    (Tissue.ORGAN,),
)
# Neighbours that no network could tell apart if their CT numbers were alike.
NEIGHBOURS = (
    (Tissue.URINE, Tissue.BLADDER_WALL),
    (Tissue.URINE, Tissue.PELVIC_FAT),
    (Tissue.BLADDER_WALL, Tissue.PELVIC_FAT),
    (Tissue.STOOL, Tissue.RECTAL_WALL),
    (Tissue.RECTAL_WALL, Tissue.PELVIC_FAT),
    (Tissue.BULB, Tissue.LEVATOR),
    (Tissue.BULB, Tissue.PELVIC_FAT),
    (Tissue.FAT, Tissue.GLUTEAL),
    (Tissue.BOWEL_WALL, Tissue.PELVIC_FAT),
)
APART_HU = 15.0
RANDOM_SHARE = 0.3
RANDOM_RANGE_HU = (-200.0, 300.0)


def per_tissue(values: Mapping[Tissue, float], *, otherwise: float = 0.0) -> PerTissue:
    """The values as a tuple over all codes."""
    return tuple(float(values.get(tissue, otherwise)) for tissue in Tissue)


def draw_ct_numbers(rng: np.random.Generator, *, effects: Effects, fatty_muscle: bool) -> Numbers:
    """Mean CT number of each tissue in one scan, HU (SCIENCE 4.3).

    `fatty_muscle` is an elderly man's: the mean between 25 and 45.
    """
    numbers = {
        **_things(rng),
        **_bones(rng),
        **_soft_tissues(rng, muscle=rng.uniform(25, 45) if fatty_muscle else rng.normal(55, 12)),
    }
    if effects.contrast:
        _add_contrast(rng, numbers)
    if effects.random_hu and rng.random() < RANDOM_SHARE:
        numbers |= _random_soft_tissues(rng)
    return numbers


def _things(rng: np.random.Generator) -> Numbers:
    """What is not tissue: gas, metal, what lies around the patient."""
    kinds = (
        rng.uniform(-5, 20),  # a balloon of water, of air, or silicone and contrast
        rng.uniform(-1000, -850),
        rng.uniform(60, 250),
    )
    return {
        Tissue.AIR: min(rng.normal(-1000, 4), -985.0),
        Tissue.RECTAL_GAS: rng.uniform(-1000, -700),
        Tissue.BOWEL_GAS: rng.uniform(-1000, -700),
        Tissue.CLIP: rng.uniform(2500, 3071),
        Tissue.PROSTHESIS: rng.uniform(2500, 3071),
        Tissue.COUCH: rng.uniform(-300, -50),
        Tissue.CLOTH: rng.uniform(-960, -550),
        Tissue.SPACER: rng.uniform(0, 25),
        Tissue.CATHETER: kinds[rng.choice(3, p=(0.6, 0.2, 0.2))],
    }


def _bones(rng: np.random.Generator) -> Numbers:
    marrow, cortex = rng.triangular(80, 130, 350), rng.uniform(500, 1400)
    return {
        Tissue.MARROW: marrow,
        Tissue.FEMUR_MARROW: float(np.clip(marrow + rng.normal(40, 60), 60, 420)),
        Tissue.CORTEX: max(cortex, marrow + 200),
        Tissue.CARTILAGE: rng.uniform(45, 130),
        Tissue.BONE_ISLAND: rng.uniform(200, 900),
    }


def _soft_tissues(rng: np.random.Generator, *, muscle: float) -> Numbers:
    fat, wall = rng.normal(-100, 12), rng.normal(35, 10)
    return {
        **{tissue: muscle + rng.normal(0, 4) for tissue in MUSCLES},
        Tissue.FAT: fat,
        Tissue.PELVIC_FAT: fat + rng.uniform(0, 25),
        Tissue.SKIN: rng.uniform(-20, 50),
        Tissue.BLADDER_WALL: wall,
        Tissue.URINE: rng.normal(8, 8),
        Tissue.RECTAL_WALL: wall + rng.normal(2, 5),
        Tissue.STOOL: rng.normal(30, 40),
        Tissue.BULB: muscle + rng.uniform(0, 40),
        Tissue.CORPORA: muscle + rng.uniform(-15, 25),
        Tissue.BOWEL_WALL: wall + rng.normal(3, 6),
        Tissue.BOWEL_CONTENT: rng.normal(20, 20),
        Tissue.VESSEL: rng.normal(42, 8),
        Tissue.SEMINAL_VESICLE: rng.normal(22, 10),
        Tissue.SOFT_MASS: rng.normal(40, 12),
        Tissue.ORGAN: rng.normal(45, 15),
        Tissue.SCAR: muscle - rng.uniform(0, 35),
    }


def _add_contrast(rng: np.random.Generator, numbers: Numbers) -> None:
    """Contrast in the bladder (15 % of scans), in the vessels (30 %) and in the bowel (20 %)."""
    if rng.random() < 0.15:
        dense = rng.random() < 0.5
        numbers[Tissue.URINE] = (
            float(np.exp(rng.uniform(np.log(100), np.log(1500)))) if dense else rng.uniform(20, 100)
        )
    if rng.random() < 0.30:
        numbers[Tissue.VESSEL] = rng.uniform(120, 250)
        muscle, mucosa = rng.uniform(0, 15), rng.uniform(5, 40)
        for tissue in MUSCLES:
            numbers[tissue] += muscle
        for tissue in (Tissue.BLADDER_WALL, Tissue.RECTAL_WALL, Tissue.BOWEL_WALL):
            numbers[tissue] += mucosa
        for tissue in (Tissue.BULB, Tissue.CORPORA):
            numbers[tissue] += muscle + rng.uniform(0, 50)
        numbers[Tissue.ORGAN] += rng.uniform(30, 100)
        numbers[Tissue.SOFT_MASS] += rng.uniform(5, 40)
    if rng.random() < 0.20:
        numbers[Tissue.BOWEL_CONTENT] = rng.uniform(150, 500)
        if rng.random() < 0.25:  # it has come as far as the rectum
            numbers[Tissue.STOOL] = rng.uniform(80, 400)


def _random_soft_tissues(rng: np.random.Generator) -> Numbers:
    """Any CT number for each soft group (as SynthSeg draws them), neighbours apart in all but a few scans.

    The best of 24 draws: the first with all neighbours apart, else the one with fewest alike.
    """
    best: tuple[int, Numbers] | None = None
    for _ in range(24):
        drawn: Numbers = {}
        for group in SOFT_GROUPS:
            value = rng.uniform(*RANDOM_RANGE_HU)
            drawn |= {tissue: value + rng.normal(0, 4) for tissue in group}
        alike = sum(abs(drawn[a] - drawn[b]) < APART_HU for a, b in NEIGHBOURS)
        if best is None or alike < best[0]:
            best = alike, drawn
        if alike == 0:
            break
    assert best is not None
    return best[1]
