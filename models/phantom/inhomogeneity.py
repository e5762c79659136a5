"""How uneven each tissue is in one scan, and the painting of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from models.phantom.ct_numbers import MUSCLES, PerTissue, per_tissue
from models.phantom.lattice import FloatArray
from models.phantom.texture import Fields, Triple
from models.phantom.tissue import Tissue

# Standard deviation within a tissue, HU: least and most over scans.
TEXTURE_HU: dict[Tissue, tuple[float, float]] = {
    **dict.fromkeys(MUSCLES, (4, 12)),
    Tissue.SKIN: (5, 15),
    Tissue.FAT: (3, 8),
    Tissue.PELVIC_FAT: (4, 13),
    Tissue.CORTEX: (60, 140),
    Tissue.MARROW: (20, 70),
    Tissue.FEMUR_MARROW: (20, 60),
    Tissue.CARTILAGE: (8, 25),
    Tissue.BLADDER_WALL: (3, 10),
    Tissue.URINE: (0, 2.5),
    Tissue.RECTAL_WALL: (4, 12),
    Tissue.BULB: (3, 10),
    Tissue.CORPORA: (4, 14),
    Tissue.BOWEL_WALL: (5, 15),
    Tissue.VESSEL: (2, 6),
    Tissue.SEMINAL_VESICLE: (5, 15),
    Tissue.SOFT_MASS: (4, 12),
    Tissue.COUCH: (5, 30),
    Tissue.SPACER: (0, 5),
    Tissue.CLOTH: (20, 100),
    Tissue.ORGAN: (4, 12),
    Tissue.SCAR: (6, 20),
    Tissue.BONE_ISLAND: (20, 80),
}
LUMP_HU: dict[Tissue, tuple[float, float]] = {Tissue.STOOL: (10, 60), Tissue.BOWEL_CONTENT: (3, 25)}
BUBBLE_HU = -600.0
# The same over a centimetre or two: islands of fatty marrow, fattier and leaner parts of a muscle.
PATCH_HU: dict[Tissue, tuple[float, float]] = {
    **dict.fromkeys(MUSCLES, (1, 8)),
    Tissue.FAT: (1, 5),
    Tissue.PELVIC_FAT: (2, 15),
    Tissue.MARROW: (15, 80),
    Tissue.FEMUR_MARROW: (15, 80),
    Tissue.ORGAN: (2, 10),
    Tissue.CORPORA: (2, 10),
}
PATCH_MM, REGION_MM = 14.0, 40.0
FINEST_MM = 2.5  # finer costs more than a scan's voxels show


@dataclass(frozen=True, kw_only=True)
class Inhomogeneity:
    """How uneven each tissue of one scan is."""

    texture_hu: PerTissue  # standard deviation
    patch_hu: PerTissue  # standard deviation over centimetres
    grain_mm: float  # the finest scale of texture; there are two coarser ones
    septum_hu: PerTissue  # CT number of a strand in fat less that of the fat
    thread_hu: PerTissue  # and of a small vessel in it
    speck_hu: PerTissue  # of the smaller ones between organs
    streak_hu: PerTissue  # of fat in muscle, less that of the muscle
    cell_mm: tuple[float, float]  # between strands in fat, in muscle
    strand_mm: tuple[float, float]  # their widths
    muscle_along_x: float  # how much longer streaks in muscle are along x than across
    lump_hu: PerTissue  # standard deviation of stool and bowel content
    lump_mm: float  # and its grain
    bubbles: float  # share of stool that is gas

    @staticmethod
    def draw(rng: np.random.Generator, *, fatty_muscle: bool) -> Inhomogeneity:
        """Draw a patient's tissues; an elderly man's muscles are streaked with fat."""
        texture = {tissue: rng.uniform(*span) for tissue, span in TEXTURE_HU.items()}
        patches = {tissue: rng.uniform(*span) for tissue, span in PATCH_HU.items()}
        streak = -rng.uniform(80, 160) if fatty_muscle else -rng.uniform(15, 100)
        streaks = {tissue: streak * rng.uniform(0.5, 1.1) for tissue in MUSCLES}
        streaks[Tissue.GLUTEAL] *= 1.4
        streaks[Tissue.SCAR] = -rng.uniform(0, 60)
        return Inhomogeneity(
            texture_hu=per_tissue(texture),
            patch_hu=per_tissue(patches),
            grain_mm=rng.uniform(2.5, 5),
            septum_hu=per_tissue({Tissue.FAT: rng.uniform(5, 90), Tissue.PELVIC_FAT: rng.uniform(5, 90)}),
            thread_hu=per_tissue({Tissue.FAT: rng.uniform(0, 150), Tissue.PELVIC_FAT: rng.uniform(30, 180)}),
            speck_hu=per_tissue({Tissue.PELVIC_FAT: rng.uniform(20, 160)}),
            streak_hu=per_tissue(streaks),
            cell_mm=(rng.uniform(9, 20), rng.uniform(6, 12)),
            strand_mm=(rng.uniform(1.0, 2.5), rng.uniform(1.2, 3.5)),
            muscle_along_x=rng.uniform(1, 3),
            lump_hu=per_tissue({tissue: rng.uniform(*span) for tissue, span in LUMP_HU.items()}),
            lump_mm=rng.uniform(4, 9),
            bubbles=rng.uniform(0, 0.1) if rng.random() < 0.6 else 0.0,
        )


def add_inhomogeneity(
    hu: FloatArray,
    tissue_zyx: NDArray[np.uint8],
    spacing_zyx_mm: Triple,
    *,
    look: Inhomogeneity,
    rng: np.random.Generator,
) -> None:
    """Add texture to CT numbers in place, both (z, y, x)."""

    def add(each_hu: PerTissue, field: FloatArray) -> None:
        field *= np.asarray(each_hu, np.float32)[tissue_zyx]
        np.add(hu, field, out=hu)

    fields = Fields(rng, hu.shape, spacing_zyx_mm)
    add(look.texture_hu, fields.grain(look.grain_mm))
    add(look.patch_hu, fields.smooth(PATCH_MM))
    more_or_less = np.clip(np.float32(0.6) + np.float32(0.6) * fields.smooth(REGION_MM), 0, 1.5)
    septa, threads = fields.strands(look.cell_mm[0], width_mm=look.strand_mm[0])
    add(look.septum_hu, septa * more_or_less)
    add(look.thread_hu, threads)
    streaks, specks = fields.strands(look.cell_mm[1], width_mm=look.strand_mm[1], along_x=look.muscle_along_x)
    add(look.streak_hu, streaks * more_or_less)
    add(look.speck_hu, specks)
    _add_lumps(hu, tissue_zyx, spacing_zyx_mm, look=look, rng=rng)


def _add_lumps(
    hu: FloatArray,
    tissue_zyx: NDArray[np.uint8],
    spacing_zyx_mm: Triple,
    *,
    look: Inhomogeneity,
    rng: np.random.Generator,
) -> None:
    """Stool and bowel content: lumps, and bubbles in the stool."""
    inside = np.isin(tissue_zyx, np.array([int(t) for t in LUMP_HU], np.uint8))
    if not inside.any():
        return
    spans = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(span[0], span[-1] + 1) for span in spans)
    fields = Fields(rng, hu[box].shape, spacing_zyx_mm)
    part = tissue_zyx[box]
    hu[box] += np.asarray(look.lump_hu, np.float32)[part] * _two_scales(fields, look.lump_mm)
    if look.bubbles > 0:
        above = _two_scales(fields, 0.8 * look.lump_mm) - np.float32(ndtri(1 - look.bubbles))
        share = np.clip(above * 4, 0, 1) * (part == Tissue.STOOL)
        hu[box] += share * (np.float32(BUBBLE_HU) - hu[box])


def _two_scales(fields: Fields, grain_mm: float) -> FloatArray:
    fine = fields.smooth(max(grain_mm / 2.5, FINEST_MM))
    return np.float32(0.8) * fields.smooth(grain_mm) + np.float32(0.6) * fine
