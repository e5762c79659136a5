"""`penumbra train` on prepared cases, from the folder to a bundle that loads."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from models import recipes
from models.bundle import load_bundle
from models.recipes import LOCALIZER, SMALL
from models.structures import STRUCTURES
from service.physics import add_commands
from worker import training_pool

app = typer.Typer()
add_commands(app)

VOI = {"voi_size_zyx": (24, 24, 24), "spacing_zyx_mm": (3.0, 3.0, 3.0)}
TINY = replace(
    SMALL,
    name="small",
    networks=tuple(
        replace(n, width=4, levels=2, steps=4, epoch_steps=2, batch=2)
        if n.name == LOCALIZER
        else replace(n, width=4, levels=4, steps=2, epoch_steps=1, batch=1, **VOI)
        for n in SMALL.networks
    ),
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory, save_balls):
    """Six balls in a row, one per structure."""
    folder = tmp_path_factory.mktemp("cases")
    for index in range(4):
        centres = {row.name: (8, 15, 10 + 15 * place + index) for place, row in enumerate(STRUCTURES)}
        save_balls(folder / f"{index}.npz", (16, 30, 100), centres, radius_mm=14)
    return folder


def penumbra(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def trained(cases, tmp_path_factory):
    """A run folder: two networks first, then the others in processes of their own."""
    out = tmp_path_factory.mktemp("trained")
    command = ("train", "--out", out, "--cases", cases, "--jobs", 1, "--device", "cpu")
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(recipes.RECIPES, "small", TINY)
        patched.setattr("sys.argv", ["penumbra", *map(str, command)])
        with patched.context() as still:  # the pool is not the subject here, and slow to start
            still.setattr(training_pool, "training_pool", ThreadPoolExecutor)
            some = penumbra(*command, "--networks", "CTV,Rectum")
        assert some.exit_code == 0, some.output
        assert not (out / "Bladder").exists()
        assert not (out / "cohort-small").exists()
        whole = penumbra(*command)
        assert whole.exit_code == 0, whole.output
    return out


def test_from_prepared_cases_to_a_bundle(trained):
    bundle = load_bundle(trained / "cohort-small")
    training = bundle.manifest.training
    assert (training["training_cases"], training["validation_cases"]) == (3, 1)
    assert training["cohort"] == "prepared cases"
    assert str(training["command"]).startswith(f"penumbra train --out {trained}")
    assert (training["steps Localizer"], training["steps CTV"]) == (4, 2)
    assert "clinic" in bundle.manifest.description
    assert bundle.manifest.intended_use == "research-phantom"

    assert (trained / "curves.png").stat().st_size > 1000
    histories = [json.loads((trained / n.name / "progress.json").read_text()) for n in TINY.networks]
    assert [len(each["history"]) for each in histories] == [2] * len(TINY.networks)
    assert list((trained / "tensorboard" / "CTV").glob("events.out.tfevents.*"))


def test_a_bundle_is_trained_on(cases, trained, tmp_path, monkeypatch):
    """With no learning rate the weights stay: what comes out is what it began with, and the manifest says so."""
    still = replace(TINY, networks=tuple(replace(n, learning_rate=0.0) for n in TINY.networks))
    monkeypatch.setattr(training_pool, "training_pool", ThreadPoolExecutor)
    monkeypatch.setenv("PENUMBRA_BUNDLES_DIR", str(trained))
    monkeypatch.setitem(recipes.RECIPES, "small", still)
    options = ("--begin-with", "cohort-small", "--share", 0.5, "--device", "cpu")
    done = penumbra("train", "--out", tmp_path, "--cases", cases, *options)
    assert done.exit_code == 0, done.output
    before, after = (load_bundle(out / "cohort-small") for out in (trained, tmp_path))
    assert "steps: Localizer 4, CTV 2" in str(after.manifest.training["begun_with"])
    assert after.manifest.training["steps Localizer"] == 2
    for name in before.networks:
        pairs = zip(before.networks[name].parameters(), after.networks[name].parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs), name


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--recipe", "unheard-of"), "small, paper, full"),
        (("--networks", "Liver"), "no network Liver"),
        (("--begin-with", "unheard-of"), "no bundle called"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(cases, tmp_path, arguments, why):
    result = penumbra("train", "--out", tmp_path, "--cases", cases, *arguments)
    assert result.exit_code == 2
    assert why in " ".join(result.output.replace("│", " ").split())


def test_a_folder_without_cases_is_a_usage_error(tmp_path):
    result = penumbra("train", "--out", tmp_path, "--cases", tmp_path)
    assert result.exit_code == 2
    assert "prepared cases" in result.output.replace("\n", " ")
