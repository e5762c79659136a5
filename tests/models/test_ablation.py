"""The ablation: rows that differ only in what they say, the same examples for all, paired tests, kept scores."""

import csv
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats

from models.dropblock import DropBlock3d
from models.evaluation.ablation import (
    AG_MTN,
    AG_UNET,
    EVERYWHERE,
    MTN,
    PAIRS,
    UNET,
    VARIANTS,
    Plan,
    run_ablation,
)
from models.evaluation.ablation_report import write_ablation
from models.evaluation.ablation_scores import CaseScore, held_out_example, summarise
from models.evaluation.paired import compare
from models.evaluation.run_folder import OtherLessons
from models.losses import distance_loss
from models.recipes import SMALL
from models.structures import STRUCTURES
from models.training.batches import Batch, batch_of_step
from models.training.cases import Case, load_case, save_case
from models.training.cohort import shares, with_held_out
from models.training.objective import objective
from models.training.run import Compute

CTV = replace(
    SMALL.only(["CTV"]).networks[0],
    width=4,
    voi_size_zyx=(24, 24, 24),
    spacing_zyx_mm=(3.0, 3.0, 3.0),
    steps=2,
    epoch_steps=1,
)
NAMES = [variant.name for variant in VARIANTS]


def ball_case(path, index, *, radius_mm=15):
    """CTV, bladder in front of it and rectum behind, as balls."""
    z, y, x = np.ogrid[:20, :40, :40]
    labels = np.zeros((20, 40, 40), np.uint8)
    hu = np.full(labels.shape, -90, np.int16)
    for name, centre_y, tissue_hu in (("CTV", 20, 50), ("Bladder", 10, 10), ("Rectum", 30, 30)):
        ball = ((z - 10) ** 2 + (y - centre_y) ** 2 + (x - 18 - index) ** 2) * 9 < radius_mm**2
        labels |= ball.astype(np.uint8) << [s.name for s in STRUCTURES].index(name)
        hu[ball] = tissue_hu
    save_case(Case(hu=hu, labels=labels, spacing_zyx_mm=(3.0, 3.0, 3.0)), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for index in range(6):
        ball_case(folder / f"{index}.npz", index)
    return folder


@pytest.fixture
def cases(folder, tmp_path):
    """One's own copy, to change at will."""
    return sorted(shutil.copytree(folder, tmp_path / "cases").iterdir())


@pytest.fixture
def plan(cases):
    return plan_of(cases)


def plan_of(cases):
    recipe = replace(SMALL, training_cases=3, validation_cases=1, held_out_cases=2)
    cohort, held_out = with_held_out(recipe, cases)
    return Plan(ctv=CTV, cohort=cohort, held_out=held_out, passes=2, seed=0)


def run(plan, out):
    with ThreadPoolExecutor(1) as pool:
        compute = Compute(pool, torch.device("cpu"))
        return run_ablation(plan, out, compute=compute, on_standings=lambda standings: None)


@pytest.fixture(scope="module")
def first_run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return run(plan_of(sorted(folder.iterdir())), out), out


@pytest.fixture
def begun(first_run, tmp_path):
    """What a first run came to, and a copy of its folder."""
    scores, out = first_run
    return scores, shutil.copytree(out, tmp_path / "run")


def network_of(variant):
    torch.manual_seed(0)
    return variant.recipe(CTV).build()


# --- rows -------------------------------------------------------------------------------------------------------


def test_a_recipe_differs_from_another_in_its_row_only():
    for variant in VARIANTS:
        recipe = variant.recipe(CTV)
        assert recipe == replace(
            CTV, factory=recipe.factory, guided=variant.guided, placement=variant.placement
        )
    rows = {(v.guided, v.multi_task, v.placement) for v in VARIANTS}
    assert len(rows) == len(VARIANTS) == 5
    assert {frozenset((a.name, b.name)) for a, b in PAIRS} <= {frozenset(c) for c in combinations(NAMES, 2)}


@pytest.mark.parametrize(("one", "other"), [(UNET, MTN), (AG_UNET, AG_MTN)])
def test_the_second_task_adds_the_distance_map_and_nothing_else(one, other):
    without, both = network_of(one).state_dict(), network_of(other).state_dict()
    assert {name.split(".")[0] for name in both.keys() - without.keys()} == {"distance", "distance_head"}
    assert without.keys() < both.keys()
    assert all(torch.equal(both[name], weight) for name, weight in without.items())  # and they start alike


@pytest.mark.parametrize(("one", "other"), [(UNET, MTN), (AG_UNET, AG_MTN)])
def test_the_second_task_adds_its_own_loss_and_nothing_else(one, other, cases):
    batch = batch_of_step(one.recipe(CTV), cases, 0, 0)
    first, second = network_of(one).eval(), network_of(other).eval()
    output = second(batch.x)
    apart = objective(first(batch.x), batch, CTV, sensitive=False).detach()
    together = objective(output, batch, CTV, sensitive=False).detach()
    assert float(together) == pytest.approx(
        float(apart) + float(distance_loss(output.distance.detach(), batch.distance)), abs=1e-5
    )
    assert float(together) > float(apart) + 1e-3


@pytest.mark.parametrize(("one", "other"), [(UNET, AG_UNET), (MTN, AG_MTN)])
def test_the_guide_adds_one_input_and_nothing_else(one, other):
    blind, guided = network_of(one).state_dict(), network_of(other).state_dict()
    assert blind.keys() == guided.keys()
    reshaped = {name for name in blind if blind[name].shape != guided[name].shape}
    assert len(reshaped) == 1
    (first,) = reshaped
    assert first.startswith("encoder.blocks.0.")
    assert (blind[first].shape[1], guided[first].shape[1]) == (2, 3)


def test_the_placement_moves_dropblock_and_nothing_else():
    ours, papers = network_of(AG_MTN), network_of(EVERYWHERE)
    assert all(torch.equal(w, papers.state_dict()[name]) for name, w in ours.state_dict().items())

    def drops(network):
        found = {name for name, m in network.named_modules() if isinstance(m, DropBlock3d) and m.keep < 1}
        return {name.split(".")[0] for name in found}

    assert drops(ours) == {"segmentation"}
    assert drops(papers) == {"segmentation", "encoder"}


# --- the same examples ------------------------------------------------------------------------------------------


def test_all_rows_learn_from_the_same_examples_in_the_same_order(cases):
    for step in range(4):
        batches = {v.name: batch_of_step(v.recipe(CTV), cases, 7, step) for v in VARIANTS}
        reference = batches["AG-MTN"]
        for variant in VARIANTS:
            batch = batches[variant.name]
            assert torch.equal(batch.x, reference.x if variant.guided else reference.x[:, :2])
            assert torch.equal(batch.q, reference.q)
            assert torch.equal(batch.distance, reference.distance)
        assert isinstance(reference, Batch) and reference.x[:, 2].any()


def test_all_rows_are_scored_on_the_same_examples(cases):
    for number, path in enumerate(cases):
        examples = {
            v.name: held_out_example(load_case(path), v.recipe(CTV), np.random.default_rng(number))
            for v in VARIANTS
        }
        x, truth = examples["AG-MTN"]
        assert truth.any() and x[2].any()
        for variant in VARIANTS:
            seen, reference = examples[variant.name]
            assert torch.equal(seen, x if variant.guided else x[:2])
            assert np.array_equal(reference, truth)


def test_what_is_held_out_neither_trains_nor_validates(tmp_path):
    for count in range(11, 80):
        paths = [tmp_path / f"{index:03d}.npz" for index in range(count)]
        cohort, held_out = with_held_out(SMALL, paths)
        assert [*cohort.training, *cohort.validation, *held_out] == paths
        assert cohort.training and cohort.validation and len(held_out) >= 2
    with pytest.raises(ValueError, match="at least 2"):
        with_held_out(SMALL, paths[:5])


def test_shares_add_up_and_are_the_nearest_whole_numbers():
    assert shares(340, 255, 35, 50) == (255, 35, 50)
    assert shares(10, 1, 1) == (5, 5)
    assert [shares(n, 1, 1) for n in (3, 5, 7)] == [(2, 1), (3, 2), (4, 3)]  # the half that is left trains
    for count in range(11, 400):
        parts = shares(count, 255, 35, 50)
        assert sum(parts) == count
        assert all(abs(n - count * p / 340) <= 1 for n, p in zip(parts, (255, 35, 50), strict=True))


# --- the paired test --------------------------------------------------------------------------------------------

METHOD, BASELINE = [0.80, 0.85, 0.90, 0.70], [0.75, 0.80, 0.90, 0.60]


def test_a_comparison_is_the_paired_t_test():
    found = compare(METHOD, BASELINE, names=("A", "B"))
    assert (found.method, found.baseline, found.cases) == ("A", "B", 4)
    # differences 0.05, 0.05, 0, 0.1: mean 0.05, deviation sqrt(0.005 / 3), t = 0.05 / (deviation / 2) = sqrt(6)
    deviation = math.sqrt(0.005 / 3)
    assert found.difference == pytest.approx(0.05)
    assert found.d_z == pytest.approx(0.05 / deviation) == pytest.approx(math.sqrt(1.5))
    assert found.p == pytest.approx(2 * stats.t.sf(math.sqrt(6), df=3))
    assert found.p == pytest.approx(stats.ttest_rel(METHOD, BASELINE).pvalue)
    half = stats.t.ppf(0.975, df=3) * deviation / 2
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half))


def test_it_is_paired():
    """Unpaired, the spread of the cases would hide a difference that every case shows."""
    rng = np.random.default_rng(0)
    baseline = rng.uniform(0.3, 0.9, 30)
    method = baseline + rng.normal(0.02, 0.01, 30)
    assert compare(list(method), list(baseline), names=("A", "B")).p < 1e-9
    assert stats.ttest_ind(method, baseline).pvalue > 0.3
    assert compare(list(baseline), list(method), names=("B", "A")).d_z < -1


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_equal_differences_have_no_test(shift):
    baseline = [0.11, 0.37, 0.73, 0.53]  # in floating point + 0.1 - itself differs from case to case
    found = compare([value + shift for value in baseline], baseline, names=("A", "B"))
    assert found.difference == pytest.approx(shift)
    assert np.isnan([found.low, found.high, found.p, found.d_z]).all()


def test_one_case_and_unequal_numbers_are_refused():
    with pytest.raises(ValueError, match="two cases"):
        compare([0.8], [0.7], names=("A", "B"))
    with pytest.raises(ValueError, match="same cases"):
        compare([0.8, 0.9, 0.7], [0.7], names=("A", "B"))


# --- on paper ---------------------------------------------------------------------------------------------------


def score(case, dsc, *, quality=0.9, band_mm=3.0):
    return CaseScore(case=case, dsc=dsc, quality=quality, band_mm=band_mm)


def test_a_summary_counts_bands_only_where_there_is_one():
    rows = [score("a", 0.5, quality=0.6, band_mm=2.0), score("b", 0.7, quality=0.8, band_mm=4.0)]
    found = summarise("X", [*rows, score("c", 0.9, quality=0.7, band_mm=math.nan)])
    assert (found.cases, found.band_mm) == (3, 3.0)
    assert (found.dsc_mean, found.dsc_sd) == pytest.approx((0.7, 0.2))
    assert (found.quality_mean, found.quality_sd) == pytest.approx((0.7, 0.1))
    assert found.quality_spearman == pytest.approx(0.5)


def strict(text):
    """JSON as the standard has it, without NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_report_has_null_where_there_is_no_number(plan, tmp_path):
    dsc = [0.5, 0.7]
    scores = {name: [score(str(i), d, band_mm=math.nan) for i, d in enumerate(dsc)] for name in NAMES}
    report = write_ablation(plan, scores, tmp_path, command="penumbra ablation --out 'a b'")
    stored = strict((tmp_path / "ablation.json").read_text())
    assert stored == strict(json.dumps(report))
    assert stored["command"] == "penumbra ablation --out 'a b'"
    assert (stored["training_cases"], stored["validation_cases"], stored["held_out_cases"]) == (3, 1, 2)
    assert (stored["passes"], stored["steps"], stored["seed"]) == (2, 2, 0)
    assert "paired two-sided t-test" in stored["test"] and "not adjusted" in stored["test"]
    assert [row["name"] for row in stored["variants"]] == NAMES
    assert {row["band_mm"] for row in stored["variants"]} == {None}
    assert {(row["cases"], row["p"], row["d_z"]) for row in stored["comparisons"]} == {(2, None, None)}
    with (tmp_path / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["case"]) for row in rows] == [
        (name, case) for name in NAMES for case in "01"
    ]
    assert float(rows[1]["dsc"]) == 0.7
    assert (tmp_path / "ablation.png").read_bytes()[:4] == b"\x89PNG"


# --- resumed ----------------------------------------------------------------------------------------------------


def written(out, name):
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"*/{name}")}


def test_nothing_is_done_twice_and_nothing_stale_is_kept(begun, plan):
    first, out = begun
    assert list(first) == NAMES and all(len(scores) == 2 for scores in first.values())
    trained, scored = written(out, "state.safetensors"), written(out, "scores.json")
    assert trained.keys() == scored.keys() == set(NAMES)

    assert run(plan, out) == first
    assert written(out, "scores.json") == scored

    ball_case(plan.held_out[0], 1, radius_mm=27)  # the same file, another case
    corrected = run(plan, out)
    assert all(corrected[name][0].dsc != first[name][0].dsc for name in NAMES)
    assert all(corrected[name][1] == first[name][1] for name in NAMES)

    scored = written(out, "scores.json")
    best = out / "MTN" / "best.safetensors"
    weights = load_file(best)
    weights["head.bias"] += 5  # everything is CTV now
    save_file(weights, best)
    again = run(plan, out)
    changed = {name for name, stamp in written(out, "scores.json").items() if stamp > scored[name]}
    assert changed == {"MTN"}
    assert again["MTN"] != corrected["MTN"] and again["UNet"] == corrected["UNet"]

    scored = written(out, "scores.json")
    run(replace(plan, passes=3), out)
    assert all(stamp > scored[name] for name, stamp in written(out, "scores.json").items())
    assert written(out, "state.safetensors") == trained  # all that without training anew


def test_a_folder_of_other_lessons_is_refused(begun, plan, cases):
    """Cases that come into the folder may move others from training to the held-out ones."""
    _, out = begun
    moved = replace(plan.cohort, training=plan.cohort.training[1:])
    with pytest.raises(OtherLessons, match="training cases"):
        run(replace(plan, cohort=moved), out)
    with pytest.raises(OtherLessons, match="recipe"):
        run(replace(plan, ctv=replace(CTV, steps=4)), out)
    with pytest.raises(OtherLessons, match="seed"):
        run(replace(plan, seed=1), out)
    ball_case(cases[0], 5)
    with pytest.raises(OtherLessons, match="training cases"):
        run(plan, out)
