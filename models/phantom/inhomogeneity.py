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
    Tissue.STOOL: (15, 60),
    Tissue.BULB: (3, 10),
    Tissue.CORPORA: (4, 14),
    Tissue.BOWEL_WALL: (5, 15),
    Tissue.BOWEL_CONTENT: (5, 25),
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
COARSE = (Tissue.STOOL, Tissue.BOWEL_CONTENT)  # lumps, with bubbles of gas
BUBBLE_HU = -600.0


@dataclass(frozen=True, kw_only=True)
class Inhomogeneity:
    """How uneven each tissue of one scan is."""

    texture_hu: PerTissue  # standard deviation
    grain_mm: float  # the finest scale; there are two coarser ones
    strand_hu: PerTissue  # CT number of a strand less that of the tissue it runs through
    cell_mm: float  # between strands
    strand_mm: float  # their width
    lump_mm: float  # grain of stool
    bubbles: float  # share of stool that is gas

    @staticmethod
    def draw(rng: np.random.Generator, *, fatty_muscle: bool) -> Inhomogeneity:
        """Draw a patient's tissues; an elderly man's muscles are streaked with fat."""
        texture = {tissue: rng.uniform(*span) for tissue, span in TEXTURE_HU.items()}
        streaky = -rng.uniform(40, 110) if fatty_muscle else -rng.uniform(0, 35)
        strands = {tissue: streaky * rng.uniform(0.6, 1.2) for tissue in MUSCLES}
        strands[Tissue.GLUTEAL] *= 1.3
        strands[Tissue.FAT] = rng.uniform(5, 50)
        strands[Tissue.PELVIC_FAT] = rng.uniform(5, 90)  # stranded after an operation
        strands[Tissue.SCAR] = -rng.uniform(0, 60)
        return Inhomogeneity(
            texture_hu=per_tissue(texture),
            grain_mm=rng.uniform(2.0, 4.5),
            strand_hu=per_tissue(strands),
            cell_mm=rng.uniform(8, 18),
            strand_mm=rng.uniform(1.0, 2.5),
            lump_mm=rng.uniform(4, 9),
            bubbles=rng.uniform(0, 0.12),
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
    fields = Fields(rng, hu.shape, spacing_zyx_mm)
    fine = np.array(look.texture_hu, np.float32)
    fine[list(COARSE)] = 0
    hu += fine[tissue_zyx] * fields.grain(look.grain_mm)
    strands = fields.strands(look.cell_mm, width_mm=look.strand_mm)
    strands *= np.clip(fields.smooth(45) * np.float32(0.6) + np.float32(0.6), 0, 1.6)  # here more than there
    hu += np.asarray(look.strand_hu, np.float32)[tissue_zyx] * strands
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
    inside = np.isin(tissue_zyx, np.array([int(t) for t in COARSE], np.uint8))
    if not inside.any():
        return
    spans = [np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(span[0], span[-1] + 1) for span in spans)
    fields = Fields(rng, hu[box].shape, spacing_zyx_mm)
    lumps = fields.smooth(look.lump_mm) * np.float32(0.8) + fields.smooth(look.lump_mm / 2.5) * np.float32(
        0.6
    )
    coarse = np.zeros(len(Tissue), np.float32)
    coarse[list(COARSE)] = np.asarray(look.texture_hu, np.float32)[list(COARSE)]
    part = tissue_zyx[box]
    hu[box] += coarse[part] * lumps
    bubble = fields.smooth(look.lump_mm * 0.8)
    threshold = np.float32(ndtri(1 - look.bubbles))
    share = np.clip((bubble - threshold) * 3, 0, 1) * (part == Tissue.STOOL)
    hu[box] += share * (np.float32(BUBBLE_HU) - hu[box])
