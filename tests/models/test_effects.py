"""What an effect is worth: left out, it is in neither case nor scan; the test shows it; the numbers are right."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.evaluation.effect_scores import ORGANS
from models.evaluation.effects import (
    AGAIN,
    EFFECTS,
    EVERYTHING,
    IN_SCAN,
    PROBE,
    Outcome,
    Plan,
    draw_phantoms,
    row_name,
    rows,
    run_effects,
    worth,
)
from models.evaluation.effects_report import write_effects
from models.evaluation.held_out_effects import CLINICAL, SHOWS, held_out_indices, look_stream, shown_by
from models.evaluation.run_folder import OtherLessons
from models.phantom.anatomy import draw_anatomy
from models.phantom.appearance import Appearance
from models.phantom.cohort import draw_patient, map_lattice
from models.phantom.effects import Effects
from models.phantom.tissue import Tissue
from models.recipes import SMALL
from models.training.cases import Case, draw_case, spaced
from models.training.examples import pelvis_example, slices_example, voi_example
from models.training.run import Compute

COARSE_MM = (10.0, 6.0, 6.0)
TINY = Plan(
    network=replace(PROBE, width=4, voi_size_zyx=(16, 32, 48), spacing_zyx_mm=(12.0, 8.0, 8.0), steps=2),
    effects=("couch", "noise"),
    training_cases=2,
    validation_cases=1,
    ordinary_cases=2,
    shown_cases=2,
    spacing_zyx_mm=COARSE_MM,
)


def blocks(spacing_mm=3.0):
    """A phantom's tissues by hand: fat around urine and muscle, with metal."""
    tissue = np.full((10, 40, 40), Tissue.FAT, np.uint8)
    tissue[3:7, 10:20, 10:20] = Tissue.URINE
    tissue[3:7, 22:32, 22:32] = Tissue.GLUTEAL
    labels = (tissue == Tissue.URINE).astype(np.uint8) << 1
    return Case(tissue=tissue, labels=labels, spacing_zyx_mm=(4.0, spacing_mm, spacing_mm))


# --- left out is left out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "tissues"),
    [("couch", {Tissue.COUCH}), ("bowel", {Tissue.BOWEL_WALL, Tissue.BOWEL_CONTENT, Tissue.BOWEL_GAS})],
)
def test_an_effect_of_the_anatomy_is_in_the_case_or_not(effect, tissues):
    codes = {int(tissue) for tissue in tissues}
    index = next(i for i in range(20) if effect in shown_by(1, i))
    with_it = draw_case(1, index, effects=CLINICAL, spacing_zyx_mm=COARSE_MM)
    without = draw_case(1, index, effects=CLINICAL.without(effect), spacing_zyx_mm=COARSE_MM)
    assert codes & set(np.unique(with_it.tissue))
    assert not codes & set(np.unique(without.tissue))


def test_an_effect_of_the_scan_is_in_what_the_network_sees_or_not():
    """Neither noise nor texture nor streaks: each tissue is even away from its borders."""
    recipe = replace(PROBE, voi_size_zyx=(8, 32, 32), spacing_zyx_mm=(4.0, 4.0, 4.0))
    plain = replace(recipe, effects=Effects().without("noise", "texture", "streaks"))
    quiet = replace(recipe, effects=Effects().without("noise"))
    for vary in (False, True):
        even = {}
        for each in (recipe, plain, quiet):
            x = pelvis_example(blocks(), each, np.random.default_rng(3), vary=vary).x
            even[each.effects] = float((x[..., 1:] - x[..., :-1]).abs().lt(1e-4).float().mean())
        assert even[plain.effects] > 0.7  # of a pixel's neighbours are like it
        assert even[quiet.effects] < 0.6  # texture is left
        assert even[recipe.effects] < 0.3


def test_the_other_networks_leave_it_out_too():
    recipe = replace(SMALL.only(["Bladder"]).networks[0], voi_size_zyx=(4, 16, 16))
    plain = replace(recipe, effects=Effects().without("noise", "texture", "streaks"))
    noisy, even = (voi_example(blocks(), r, np.random.default_rng(3), vary=False).x for r in (recipe, plain))
    inside = (1, slice(1, 3), slice(6, 10), slice(6, 10))
    assert float(even[inside].std()) < 1e-4 < float(noisy[inside].std())


def test_rows_differ_in_the_effect_and_share_cases_where_only_the_scan_differs():
    found = {row.name: row for row in rows(Plan())}
    assert len(found) == len(EFFECTS) + 2
    assert found[EVERYTHING].effects == found[AGAIN].effects == Effects()
    assert found[EVERYTHING].seed != found[AGAIN].seed
    assert Plan().held_out_seed not in {row.seed for row in found.values()}
    for effect in EFFECTS:
        row = found[row_name(effect)]
        assert row.effects == Effects().without(effect)
        assert (row.cases == EVERYTHING) == (effect in IN_SCAN)


@pytest.mark.parametrize("effect", EFFECTS)
def test_what_is_shared_is_rightly_shared(effect):
    """An effect is of the scan if the anatomy is drawn alike without it and the look is not, else of the anatomy."""

    def drawn(effects):
        return [
            (
                repr(draw_anatomy(np.random.default_rng(seed), effects=effects)),
                Appearance.draw(np.random.default_rng(seed), effects=effects),
            )
            for seed in range(40)
        ]

    all_effects, without = drawn(Effects()), drawn(Effects().without(effect))
    assert ([a for a, _ in all_effects] == [a for a, _ in without]) == (effect in IN_SCAN)
    assert ([b for _, b in all_effects] == [b for _, b in without]) == (effect not in IN_SCAN)


# --- the path of the shipped networks is what it was ----------------------------------------------------------------


def test_with_every_effect_the_examples_are_as_ever():
    """Mean of each channel, and the deviation over both, as they were before effects could be left out."""
    case = blocks(1.5)
    recipe = {n.name: n for n in SMALL.networks}
    bladder = replace(recipe["Bladder"], voi_size_zyx=(8, 16, 16))
    slices = slices_example(case, recipe["Localizer"], np.random.default_rng(5), vary=True).x
    voi = voi_example(case, bladder, np.random.default_rng(5), vary=True).x
    assert slices.shape == (7, 2, 96, 128)
    assert slices.mean((0, 2, 3)).tolist() == pytest.approx([-0.9892, -0.7508], abs=1e-4)
    assert voi.mean((1, 2, 3)).tolist() == pytest.approx([-0.7110, -0.2854], abs=1e-4)
    assert (float(slices.std()), float(voi.std())) == pytest.approx((0.15108, 0.33514), abs=1e-4)


def test_a_lattice_of_its_own_spacing_is_itself():
    for index in range(6):
        lattice = map_lattice(draw_patient(1, index), 1, index)
        assert spaced(lattice, lattice.spacing_zyx_mm) == lattice
        coarse = spaced(lattice, COARSE_MM)
        assert coarse.origin_zyx_mm == lattice.origin_zyx_mm
        for axis, step in enumerate(COARSE_MM):
            assert 0 <= lattice.extent_mm(axis) - coarse.extent_mm(axis) < step


# --- the test shows the effect --------------------------------------------------------------------------------------


def test_held_out_cases_show_what_they_were_chosen_for():
    chosen = held_out_indices(7, ["prosthesis", "noise"], ordinary=3, shown=2)
    assert chosen["noise"] == (0, 1, 2)
    assert len(chosen["prosthesis"]) >= 2
    for index in chosen["prosthesis"][:1]:
        case = draw_case(7, index, effects=CLINICAL, spacing_zyx_mm=COARSE_MM)
        assert (case.tissue == Tissue.PROSTHESIS).any()
    assert set(SHOWS) == set(EFFECTS)


def test_contrast_is_in_the_scan_of_those_chosen_for_it():
    """The scan that is tested is the one that was looked at."""
    recipe = replace(PROBE, voi_size_zyx=(10, 32, 32), spacing_zyx_mm=(4.0, 4.0, 4.0), effects=CLINICAL)
    bright = 0
    for index in range(60):
        look = Appearance.draw(look_stream(7, index), effects=CLINICAL)
        x = pelvis_example(blocks(), recipe, look_stream(7, index), vary=False).x
        urine = float(np.arctanh(float(x[1, 4, 10:12, 10:12].clamp(-0.99, 0.99).mean())) * 1000)
        if look.hu[Tissue.URINE] > 200:
            bright += 1
            assert "contrast" in shown_by(7, index)
            assert urine > 100 or look.layered is not None
        elif look.hu[Tissue.URINE] < 40:
            assert urine < 100
    assert bright


# --- the numbers ----------------------------------------------------------------------------------------------------


def test_the_worth_of_an_effect_is_with_less_without_over_cases_that_have_the_organ():
    found = worth("bowel", "CTV", [0.8, 0.9, 0.7, math.nan, 0.5], [0.7, 0.7, 0.7, 0.2, math.nan])
    assert found.cases == 3
    assert (found.dsc_with, found.dsc_without) == pytest.approx((0.8, 0.7))
    assert found.difference == pytest.approx(0.1)
    half = (
        4.302653 * 0.1 / math.sqrt(3)
    )  # t of 2 degrees of freedom; the differences 0.1, 0.2, 0 deviate by 0.1
    assert (found.low, found.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-5)


def test_one_case_has_no_interval_and_none_no_mean():
    one, none = worth("clips", "CTV", [0.8], [0.7]), worth("clips", "CTV", [], [])
    assert one.difference == pytest.approx(0.1) and math.isnan(one.low)
    assert none.cases == 0 and math.isnan(none.dsc_with)


def test_the_report_is_of_the_cases_that_show_the_effect_and_of_the_ordinary_ones(tmp_path):
    def scored(**by_index):
        return {int(index[1:]): dict.fromkeys(ORGANS, dsc) for index, dsc in by_index.items()}

    scores = {
        EVERYTHING: scored(i0=0.8, i1=0.9, i7=0.6, i9=0.7),
        AGAIN: scored(i0=0.8, i1=0.8),
        row_name("couch"): scored(i0=0.8, i1=0.7, i7=0.2, i9=0.5),
    }
    outcome = Outcome(scores=scores, ordinary=(0, 1), shown={"couch": (7, 9)})
    plan = replace(TINY, effects=("couch",))
    write_effects(plan, outcome, tmp_path, command="penumbra effects --out 'a b'")
    stored = json.loads((tmp_path / "effects.json").read_text(), parse_constant=pytest.fail)

    def row(table, effect):
        (found,) = [r for r in stored[table] if r["effect"] == effect and r["organ"] == "Bladder"]
        return found["dsc_with"], found["dsc_without"], found["difference"], found["cases"]

    assert row("where_it_shows", "couch") == pytest.approx((0.65, 0.35, 0.3, 2))
    assert row("ordinary", "couch") == pytest.approx((0.85, 0.75, 0.1, 2))
    assert row("ordinary", AGAIN) == row("where_it_shows", AGAIN) == pytest.approx((0.85, 0.8, 0.05, 2))
    text = (tmp_path / "effects.md").read_text()
    assert "| couch | the anatomy | 2 | 0.650 / 0.350 |" in text and "penumbra effects --out 'a b'" in text
    assert (tmp_path / "effects.png").read_bytes()[:4] == b"\x89PNG"


# --- from phantoms to a table ---------------------------------------------------------------------------------------


def test_a_tiny_run_goes_through_and_goes_on_where_it_was(tmp_path):
    def run(plan):
        with ThreadPoolExecutor(1) as pool:
            compute = Compute(pool, torch.device("cpu"))
            draw_phantoms(plan, tmp_path, compute=compute, on_case=lambda done, total: None)
            return run_effects(plan, tmp_path, compute=compute, on_standings=lambda standings: None)

    first = run(TINY)
    assert set(first.scores) == {row.name for row in rows(TINY)}
    assert {path.name for path in (tmp_path / "cases").iterdir()} == {
        EVERYTHING,
        AGAIN,
        row_name("couch"),
        "held-out",
    }
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npz")}
    stamps |= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores.json")}
    write_effects(TINY, first, tmp_path, command="penumbra effects")
    again = run(replace(TINY, effects=("couch",)))
    assert {path: path.stat().st_mtime_ns for path in stamps if "noise" not in str(path)} == {
        path: stamp for path, stamp in stamps.items() if "noise" not in str(path)
    }
    assert again.scores[row_name("couch")].keys() == first.scores[row_name("couch")].keys()
    with pytest.raises(OtherLessons, match="recipe"):
        run(replace(TINY, network=replace(TINY.network, steps=3)))
