"""The eight checks on a pelvis of boxes whose distances one can count; the landmarks also on real bones."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from worker.grid import Grid
from worker.guideline import check_guideline
from worker.pelvic_block import PelvicBlock

SHAPE = (60, 90, 120)  # 3 mm slices, 1.5 mm pixels: 180 × 135 × 180 mm
SPACING = (3.0, 1.5, 1.5)
SYMPHYSIS = (15, 27)  # slices
BLADDER_BOTTOM, BULB_TOP = 17, 10
ADVICE = {"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"}


def box(z, y, x, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def ctv(bottom=14, top=38, front=36, strip=9, back=54):
    """Behind the pubis up to the symphysis' top, above it with a strip of bladder (in pixels) before `back`."""
    low = box((bottom, SYMPHYSIS[1] + 1), (front, back), (46, 74))
    high = box((SYMPHYSIS[1] + 1, top + 1), (54 - strip, back), (46, 74))
    return low | high


def block(target=None, **structures):
    """A pelvis along the patient's axes: pubis in front, bladder, rectum behind, bulb below, heads beside."""
    hu = np.full(SHAPE, 40, np.int16)
    for x in ((42, 58), (62, 78)):  # pubic bones on both sides of the symphysis' cartilage
        hu[SYMPHYSIS[0] : SYMPHYSIS[1] + 1, 22:34, slice(*x)] = 600
    hu[20:50, 75:85, 40:80] = 500  # sacrum, behind everything
    masks = {
        "CTV": ctv() if target is None else target,
        "Bladder": box((BLADDER_BOTTOM, 45), (37, 54), (35, 85)),
        "Rectum": box((8, 50), (55, 70), (48, 72)),
        "Femur_Head_L": box((25, 40), (40, 56), (95, 110)),
        "Femur_Head_R": box((25, 40), (40, 56), (10, 25)),
        "PenileBulb": box((4, BULB_TOP + 1), (44, 52), (52, 68)),
    }
    masks |= structures
    return PelvicBlock(hu=hu, masks={n: m for n, m in masks.items() if m is not None}, spacing_zyx_mm=SPACING)


def verdicts(a_block):
    return {check.code: check.verdict for check in check_guideline(a_block)}


def warned(a_block):
    return {code for code, verdict in verdicts(a_block).items() if verdict == "warn"}


def sentence(a_block, code):
    return next(check.message for check in check_guideline(a_block) if check.code == code)


def test_a_ctv_by_the_rule_passes_everything():
    assert verdicts(block()) == dict.fromkeys(sorted(ADVICE), "pass")
    assert block().symphysis == SYMPHYSIS and block().midline == pytest.approx(59.5)


@pytest.mark.parametrize(("bottom", "good"), [(16, False), (15, True), (12, True), (11, False), (18, False)])
def test_the_lower_end_lies_5_to_15_mm_below_the_bladder(bottom, good):
    assert ("G1" in warned(block(ctv(bottom=bottom)))) is not good
    assert f"{3 * abs(BLADDER_BOTTOM - bottom)} mm" in sentence(block(ctv(bottom=bottom)), "G1")


def test_without_a_bladder_the_bulb_is_the_measure():
    assert verdicts(block(Bladder=None))["G1"] == "pass"
    assert "12 mm above the bulb's top" in sentence(block(Bladder=None), "G1")
    assert "G1" in warned(block(ctv(bottom=BULB_TOP - 1), Bladder=None))
    assert verdicts(block(Bladder=None, PenileBulb=None))["G1"] == "not assessable"


def test_the_bulb_is_kept_clear():
    assert {"G1", "G2"} <= warned(block(ctv(bottom=BULB_TOP)))
    assert verdicts(block(PenileBulb=None))["G2"] == "not assessable"


@pytest.mark.parametrize(("front", "good"), [(34, True), (37, True), (38, False)])
def test_the_gap_to_the_pubis_is_5_mm_at_most(front, good):
    """The bone ends at pixel 33: 0, 4.5 and 6 mm; half a pixel is forgiven."""
    assert ("G3" in warned(block(ctv(front=front)))) is not good


def test_bone_in_the_ctv_is_told_and_clips_are_not_bone():
    assert "is bone" in sentence(block(ctv(front=32)), "G3")
    clipped = block()
    clipped.hu[20:22, 40:42, 50:52] = 2500  # 18 mm³
    assert verdicts(clipped)["G3"] == "pass"
    contrast = block()
    contrast.hu[contrast.masks["Bladder"]] = 400
    assert warned(contrast) == set()


@pytest.mark.parametrize(("strip", "good"), [(5, False), (7, True), (13, True), (15, False)])
def test_10_to_20_mm_of_bladder_are_included(strip, good):
    assert ("G4" in warned(block(ctv(strip=strip)))) is not good


def test_an_empty_bladder_is_no_reason_to_warn():
    low = box((BLADDER_BOTTOM, SYMPHYSIS[1] + 1), (37, 54), (35, 85))
    assert verdicts(block(Bladder=low))["G4"] == "not assessable"
    assert verdicts(block(Bladder=None))["G4"] == "not assessable"


def test_the_rectum_is_touched_and_not_entered():
    assert verdicts(block(ctv(back=55)))["G5"] == "pass"
    assert "G5" in warned(block(ctv(back=51)))  # 6 mm
    assert "is rectum" in sentence(block(ctv(back=57)), "G5")
    assert verdicts(block(Rectum=None))["G5"] == "not assessable"


def test_above_the_symphysis_the_rectum_may_be_far():
    bent = box((8, SYMPHYSIS[1] + 1), (55, 70), (48, 72)) | box((SYMPHYSIS[1] + 1, 50), (68, 80), (48, 72))
    assert verdicts(block(Rectum=bent))["G5"] == "pass"


@pytest.mark.parametrize(("top", "good"), [(32, False), (33, False), (34, True), (42, True), (43, False)])
def test_the_upper_end_lies_20_to_45_mm_above_the_symphysis(top, good):
    assert ("G6" in warned(block(ctv(top=top)))) is not good
    assert f"{3 * (top - SYMPHYSIS[1])} mm above" in sentence(block(ctv(top=top)), "G6")


def test_pieces_holes_and_missing_slices_are_told():
    pieces = ctv() | box((36, 38), (20, 24), (46, 50))
    assert "2 pieces" in sentence(block(pieces), "G7")
    hole = ctv()
    hole[20, 44:48, 55:60] = False
    assert "holes" in sentence(block(hole), "G7")
    gap = ctv()
    gap[20] = False
    assert "1 slices within it" in sentence(block(gap), "G7") and "G7" in warned(block(gap))


def test_volume_has_limits():
    assert warned(block(ctv(bottom=14, top=17) & box((0, 60), (0, 90), (55, 65)))) >= {"G8"}
    assert "G8" in warned(block(ctv() | box((14, 39), (10, 54), (30, 90))))


def test_without_a_symphysis_four_checks_are_not_made():
    bare = block()
    bare.hu[:, 22:34] = 40
    assert bare.symphysis is None
    unknown = {code for code, verdict in verdicts(bare).items() if verdict == "not assessable"}
    assert unknown == {"G3", "G4", "G6"} and warned(bare) == set()


def test_a_symphysis_cut_off_by_the_scan_is_none():
    short = replace(block(), hu=block().hu[: SYMPHYSIS[1]])
    short = replace(short, masks={n: m[: SYMPHYSIS[1]] for n, m in block().masks.items()})
    assert short.symphysis is None


@pytest.mark.parametrize(
    "axes",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (-1, 0, 0, 0, 1, 0, 0, 0, -1),
        (0, -1, 0, 1, 0, 0, 0, 0, 1),
    ],
    ids=["HFS", "HFP", "FFS", "HFDL"],
)
def test_whatever_way_the_patient_lay_the_checks_are_the_same(axes):
    """The upright block is stored on a grid with other axes, and cut out of it again."""
    standing = block(ctv(bottom=13, strip=11))
    direction = np.array(axes, dtype=float).reshape(3, 3)
    order = [int(np.abs(direction[:, axis]).argmax()) for axis in range(3)]  # world axis of each image axis
    signs = [direction[order[axis], axis] for axis in range(3)]

    def stored(array):
        turned = array.transpose([2 - order[axis] for axis in (2, 1, 0)])
        return turned[tuple(slice(None, None, int(signs[axis])) for axis in (2, 1, 0))]

    spacing_xyz = [SPACING[::-1][order[axis]] for axis in range(3)]
    hu = np.ascontiguousarray(stored(standing.hu))
    grid = Grid(
        size_xyz=hu.shape[::-1],
        spacing_mm=tuple(spacing_xyz),
        origin_mm=(7.0, -3.0, 411.0),
        direction=tuple(map(float, axes)),
        frame_of_reference_uid="1.2",
    )
    masks = {name: np.ascontiguousarray(stored(mask)) for name, mask in standing.masks.items()}
    cut = PelvicBlock.cut(hu, grid, masks | {"Nothing": np.zeros(hu.shape, bool)})
    assert [c.message for c in check_guideline(cut)] == [c.message for c in check_guideline(standing)]


def test_without_structures_there_is_no_block():
    with pytest.raises(ValueError, match="no structure"):
        PelvicBlock.cut(block().hu, None, {})


@pytest.mark.parametrize("case", ["001", "002", "004", "005"])
def test_the_top_of_real_symphyses_is_found(shared_data, case):
    """Hand-drawn pelves with porous bones: the top as the labels have it, to a slice."""
    image = sitk.ReadImage(str(shared_data / "pelvis-labels" / f"pelvic-ref-{case}.nii.gz"))
    labels = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))[:, ::2, ::2]
    bone = (labels > 0) & (labels <= 4)
    marrow = ndimage.binary_erosion(bone, np.ones((1, 3, 3)))
    hu = np.select([marrow, bone, labels == 29, labels > 0], [110, 450, -100, 50], -1000).astype(np.int16)
    hips = np.argwhere(labels == 1)
    middle_x, middle_y = ((hips[:, a].min() + hips[:, a].max()) // 2 for a in (2, 1))
    pubis = labels[:, :middle_y, middle_x - 10 : middle_x + 10] == 1
    shown = np.flatnonzero(pubis.sum((1, 2)) * 4 > 60)
    behind = int(np.argwhere(pubis[shown[len(shown) // 2]])[:, 0].max()) + 12
    target = np.zeros(labels.shape, bool)
    target[shown[0] : shown[-1], behind - 8 : behind + 8, middle_x - 8 : middle_x + 8] = True
    found = PelvicBlock(hu=hu, masks={"CTV": target}, spacing_zyx_mm=(3.0, 2.0, 2.0)).symphysis
    assert found is not None and abs(found[1] - shown[-1]) <= 1
