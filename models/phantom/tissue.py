"""What a voxel of a phantom is made of: anatomy places tissues, appearance gives them CT numbers."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Tissue(IntEnum):
    """One code per kind of tissue or thing; a tissue map is (z, y, x) uint8 of these."""

    AIR = 0
    SKIN = 1
    FAT = 2  # subcutaneous
    PELVIC_FAT = 3
    GLUTEAL = 4
    THIGH = 5  # adductors, quadriceps, hamstrings
    ILIOPSOAS = 6
    OBTURATOR = 7  # internus and externus, piriformis
    ABDOMINAL_WALL = 8  # rectus, obliques, back muscles
    LEVATOR = 9  # pelvic floor, sphincter
    CORTEX = 10
    MARROW = 11  # pelvis, sacrum, spine
    FEMUR_MARROW = 12
    CARTILAGE = 13  # symphysis, joint spaces, discs
    BLADDER_WALL = 14
    URINE = 15
    RECTAL_WALL = 16
    STOOL = 17
    RECTAL_GAS = 18
    BULB = 19
    CORPORA = 20  # crura and corpora cavernosa, testes
    BOWEL_WALL = 21
    BOWEL_CONTENT = 22
    BOWEL_GAS = 23
    VESSEL = 24  # iliac and femoral
    SEMINAL_VESICLE = 25  # remnants
    SOFT_MASS = 26  # prostate, uterus or scar: what may stand where the operation left nothing
    CLIP = 27  # metal
    PROSTHESIS = 28  # metal
    COUCH = 29
    SPACER = 30  # hydrogel
    CATHETER = 31  # and its balloon
    CLOTH = 32
    ORGAN = 33  # kidney, liver: what the upper slices may show
    SCAR = 34  # strands in the prostate bed
    BONE_ISLAND = 35  # calcifications, phleboliths
