"""`penumbra ablation --fast` on prepared cases, from the folder to tables, and on from there."""

import csv
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import typer
from typer.testing import CliRunner

from service.physics import add_commands
from service.physics.ablation import FAST_CASES, FAST_NETWORK
from worker import training_pool

app = typer.Typer()
add_commands(app)
VARIANTS = ["UNet", "MTN", "AG-UNet", "AG-MTN", "AG-MTN-everywhere"]
OPTIONS = ("--fast", "--passes", 2, "--jobs", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def cases(tmp_path_factory, save_balls):
    """Bladder, CTV and rectum as balls in a row; the second case shows no CTV; more of them than --fast takes."""
    folder = tmp_path_factory.mktemp("cases")
    for index in range(8):
        rows = {"Bladder": 10, "CTV": 20, "Rectum": 30} if index != 1 else {"Bladder": 10, "Rectum": 30}
        centres = {name: (10, y, 18 + index) for name, y in rows.items()}
        save_balls(folder / f"{index}.npz", (20, 40, 40), centres, radius_mm=15)
    return folder


@pytest.fixture
def penumbra(monkeypatch):
    def invoke(*arguments):
        words = [str(a) for a in arguments]
        monkeypatch.setattr("sys.argv", ["/somewhere/bin/penumbra", *words])
        return CliRunner().invoke(app, words)

    return invoke


def without_nan(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def in_words(result):
    return " ".join(result.output.replace("│", " ").split())


def test_from_prepared_cases_to_tables_and_on_from_there(cases, tmp_path, penumbra, monkeypatch):
    out = tmp_path / "a run"
    done = penumbra("ablation", "--out", out, "--cases", cases, *OPTIONS)
    assert done.exit_code == 0, done.output
    assert all(text in done.output for text in (*VARIANTS, "AG-MTN - UNet", "not adjusted"))
    assert "…" not in done.output

    report = without_nan((out / "ablation.json").read_text())
    assert report["command"] == (
        f"penumbra ablation --out '{out}' --cases {cases} --fast --passes 2 --jobs 1 --device cpu"
    )
    assert {name: report[name] for name in FAST_CASES} == FAST_CASES
    assert (report["steps"], report["width"]) == (FAST_NETWORK["steps"], FAST_NETWORK["width"])
    assert "t-test" in report["test"]
    assert [row["name"] for row in report["variants"]] == VARIANTS
    assert {row["cases"] for row in report["variants"] + report["comparisons"]} == {2}

    lessons = json.loads((out / "lessons.json").read_text())
    seen = [
        name.removesuffix(".npz") for key in ("training", "validation") for name, _ in lessons[f"{key} cases"]
    ]
    held_out = {name: [score["case"] for score in scores] for name, scores in report["cases"].items()}
    assert seen == ["0", "2"]
    assert held_out == dict.fromkeys(VARIANTS, ["3", "4"])

    with (out / "ablation.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 10
    assert (out / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    for variant in VARIANTS:  # all took all steps
        history = json.loads((out / variant / "progress.json").read_text())["history"]
        assert history[-1]["step"] == FAST_NETWORK["steps"]

    trained = {path: path.stat().st_mtime_ns for path in out.glob("*/*.safetensors")}
    assert len(trained) == 10
    monkeypatch.setattr(training_pool, "training_pool", ThreadPoolExecutor)  # slow to start, and had its turn
    again = penumbra("ablation", "--out", out, "--cases", cases, *OPTIONS)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert without_nan((out / "ablation.json").read_text()) == report

    other = penumbra("ablation", "--out", out, "--cases", cases, *OPTIONS, "--steps", 20)
    assert other.exit_code == 2
    assert "take a new folder" in in_words(other)


def test_too_few_cases_are_a_usage_error(cases, tmp_path, penumbra):
    refused = penumbra("ablation", "--out", tmp_path, "--cases", cases)
    assert refused.exit_code == 2
    assert "at least 2 are needed" in in_words(refused)
    nothing = penumbra("ablation", "--out", tmp_path, "--cases", tmp_path)
    assert nothing.exit_code == 2
    assert "prepared cases" in in_words(nothing)
