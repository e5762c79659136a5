"""A short training run: it learns, stops in time, and a killed run goes on exactly where it stopped."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.evaluation.example_cost import measure_examples
from models.recipes import LOCALIZER, SMALL
from models.training import validation
from models.training.batches import batch_of_step, prefetched, with_structure
from models.training.checkpoint import Checkpoint, Progress
from models.training.cohort import Cohort, clinic_cohort
from models.training.curves import draw_curves
from models.training.loop import is_finished, train_network
from models.training.trainer import Trainer

BULB = next(n for n in SMALL.networks if n.name == "PenileBulb")
TINY = replace(
    BULB,
    width=8,
    levels=3,
    voi_size_zyx=(16, 32, 32),
    spacing_zyx_mm=(3.0, 1.5, 1.5),
    batch=1,
    epoch_steps=4,
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory, save_sphere):
    folder = tmp_path_factory.mktemp("cases")
    return [save_sphere(folder / f"{index}.npz", index) for index in range(3)]


@pytest.fixture(scope="module")
def cohort(cases):
    return Cohort(training=tuple(cases[:2]), validation=tuple(cases[2:]))


def same_state(one, other):
    a, b = load_file(one / "state.safetensors"), load_file(other / "state.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def same_history(one, other):
    return (one / "progress.json").read_bytes() == (other / "progress.json").read_bytes()


def test_it_learns(cohort, tmp_path):
    progress = train_network(replace(TINY, steps=45, epoch_steps=15), cohort, tmp_path, seed=0)
    first, *_, last = [row["loss"] for row in progress.history]
    assert last < first - 0.15


class Killed(BaseException):
    pass


def killed_after(epochs):
    left = iter(range(epochs - 1))

    def report(progress):
        if next(left, None) is None:
            raise Killed

    return report


TWO_EPOCHS = replace(TINY, steps=8)


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory):
    """Two epochs without a break."""
    folder = tmp_path_factory.mktemp("whole")
    train_network(TWO_EPOCHS, cohort, folder, seed=0)
    return folder


def test_a_resumed_run_takes_the_same_steps(cohort, whole, tmp_path):
    with pytest.raises(Killed):
        train_network(TWO_EPOCHS, cohort, tmp_path, seed=0, report=killed_after(1))
    train_network(TWO_EPOCHS, cohort, tmp_path, seed=0)
    assert same_state(whole, tmp_path)
    assert same_history(whole, tmp_path)


@pytest.mark.parametrize("file", ["best.safetensors", "progress.json", "state.safetensors"])
def test_a_kill_between_two_files_of_a_checkpoint_loses_nothing(cohort, whole, tmp_path, monkeypatch, file):
    unspoilt, place = Path.replace, itertools.count()

    def replace_file(self, target):
        if Path(target).name == file and next(place) == 1:  # of the second epoch
            raise Killed
        return unspoilt(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_file)
        # Its Dice has to get better, or the second epoch would not write the best weights.
        dice = iter((0.1, 0.2))
        patched.setattr(validation.Validation, "dice", lambda *_: next(dice))
        with pytest.raises(Killed):
            train_network(TWO_EPOCHS, cohort, tmp_path, seed=0)
    (tmp_path / "progress.json").write_text(  # the true Dice of the first epoch
        json.dumps(
            {
                "step": 4,
                "history": json.loads((whole / "progress.json").read_text())["history"][:1],
            }
        )
    )
    train_network(TWO_EPOCHS, cohort, tmp_path, seed=0)
    assert same_state(whole, tmp_path)
    assert same_history(whole, tmp_path)


KILLED_PROCESS = """
import sys, torch
from dataclasses import replace
from pathlib import Path
from models.recipes import SMALL
from models.training.cohort import Cohort
from models.training.loop import train_network
torch.set_num_threads(1)
*paths, out = map(Path, sys.argv[1:])
bulb = next(n for n in SMALL.networks if n.name == "PenileBulb")
tiny = replace(bulb, width=8, levels=3, voi_size_zyx=(16, 32, 32), spacing_zyx_mm=(3.0, 1.5, 1.5), batch=1,
               epoch_steps=4, steps=24)
train_network(tiny, Cohort(training=tuple(paths[:2]), validation=tuple(paths[2:])), out, seed=0)
"""


def test_kill_nine_in_the_middle_of_an_epoch_changes_nothing(cohort, cases, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recipe = replace(TINY, steps=24)
    train_network(recipe, cohort, tmp_path / "whole", seed=0)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_PROCESS, *map(str, cases), str(tmp_path / "cut")]
    )
    while not (tmp_path / "cut" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    train_network(recipe, cohort, tmp_path / "cut", seed=0)
    torch.set_num_threads(threads)
    assert same_state(tmp_path / "whole", tmp_path / "cut")


def test_it_stops_when_validation_stalls(cohort, tmp_path, monkeypatch):
    dice = iter([0.2, 0.5, 0.4, 0.5, 0.9, 0.9])
    monkeypatch.setattr(validation.Validation, "dice", lambda *_: next(dice))
    recipe = replace(TINY, steps=24, patience=2)
    progress = train_network(recipe, cohort, tmp_path, seed=0)
    assert progress.step == 16  # two epochs after the 0.5
    assert train_network(recipe, cohort, tmp_path, seed=0) == progress  # and stays so


def test_the_best_weights_are_those_of_the_best_epoch(cohort, tmp_path, monkeypatch):
    dice, seen = iter([0.2, 0.5, 0.4]), []
    monkeypatch.setattr(
        validation.Validation,
        "dice",
        lambda self, weights: (seen.append({k: w.clone() for k, w in weights.items()}), next(dice))[1],
    )
    train_network(replace(TINY, steps=12), cohort, tmp_path, seed=0)
    best = load_file(Checkpoint(tmp_path).best)
    assert all(torch.equal(best[name], weight) for name, weight in seen[1].items())
    assert not all(torch.equal(best[name], weight) for name, weight in seen[2].items())


def test_the_localiser_does_not_stop_before_its_sensitive_steps():
    recipe = replace(SMALL.networks[0], steps=100, epoch_steps=10, patience=2)
    assert recipe.name == LOCALIZER
    stalled = [{"step": s, "loss": 0.0, "dice": 1.0 / s} for s in range(10, 70, 10)]
    assert not is_finished(recipe, Progress(60, stalled))
    assert is_finished(recipe, Progress(80, stalled))
    assert is_finished(replace(recipe, name="CTV"), Progress(60, stalled))


def test_batches_come_in_order_however_long_each_takes():
    def slow(step):
        time.sleep(0.02 if step % 2 == 0 else 0)
        return step

    assert list(prefetched(slow, range(5, 25), threads=3)) == list(range(5, 25))


def test_batches_are_made_while_the_network_works():
    steps = prefetched(lambda step: time.sleep(0.03), range(10))
    next(steps)
    start = time.perf_counter()
    for _ in steps:
        time.sleep(0.03)
    assert time.perf_counter() - start < 9 * 0.03 * 1.7  # 2 if one waited for the other


def test_what_goes_wrong_in_the_background_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda step: 1 // (3 - step), range(6)))


def test_a_batch_follows_from_seed_network_and_step_alone(cases):
    def x(**changed):
        arguments = {"seed": 0, "step": 7} | changed
        np.random.seed(int(time.time_ns() % 2**32))
        torch.manual_seed(time.time_ns() % 2**32)
        return batch_of_step(TINY, cases, arguments["seed"], arguments["step"]).x

    assert torch.equal(x(), x())
    assert not torch.equal(x(), x(step=8))
    assert not torch.equal(x(), x(seed=1))


def test_the_cost_of_drawing_is_that_of_one_example(cases):
    cost = measure_examples(replace(TINY, batch=3), cases, steps=4)
    assert cost.examples == 12
    assert cost.per_second == pytest.approx(12 / cost.seconds)


def test_dropblock_comes_in_over_the_first_half(cases):
    trainer = Trainer(replace(TINY, steps=10), torch.device("cpu"))
    targets = [keep for _, keep in trainer.dropblocks]
    batch = batch_of_step(TINY, cases, 0, 0)
    seen = []
    for step in (0, 2, 5, 9):
        trainer.step(batch, step)
        seen.append([layer.keep for layer, _ in trainer.dropblocks])
    assert seen[0] == [1.0] * len(targets)
    assert seen[1] == pytest.approx([1 - (1 - keep) * 0.4 for keep in targets])
    assert seen[2] == seen[3] == pytest.approx(targets)


def test_a_gradient_that_is_not_finite_takes_no_step(cases):
    trainer = Trainer(replace(TINY, steps=100), torch.device("cpu"))
    batch = batch_of_step(TINY, cases, 0, 0)
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    broken = replace(batch, x=torch.full_like(batch.x, torch.nan))
    trainer.step(broken, 0)
    assert all(torch.equal(before[name], weight) for name, weight in trainer.network.state_dict().items())
    with pytest.raises(FloatingPointError, match="PenileBulb"):
        for step in range(20):
            trainer.step(broken, step)


def test_cases_that_lack_the_structure_are_left_out(cases, save_sphere, tmp_path):
    without = save_sphere(tmp_path / "without.npz", 0, shown=False)
    assert with_structure(TINY, [*cases, without]) == cases
    assert with_structure(replace(TINY, name=LOCALIZER), [without]) == [without]


def test_prepared_cases_are_split_by_path_in_the_recipes_shares(tmp_path):
    for index in range(29):
        (tmp_path / f"{index:02d}.npz").touch()
    cohort = clinic_cohort(SMALL, tmp_path)
    assert [p.stem for p in cohort.validation] == ["26", "27", "28"][-len(cohort.validation) :]
    assert len(cohort.training) == round(29 * 255 / 290)
    assert cohort.facts["training_cases"] == len(cohort.training)
    with pytest.raises(ValueError, match="at least"):
        clinic_cohort(SMALL, tmp_path / "nothing")


def test_curves_are_a_picture(tmp_path):
    history = [{"step": 10.0 * n, "loss": 1.0 / n, "dice": 0.1 * n} for n in range(1, 5)]
    draw_curves({"CTV": history, "Bladder": []}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
