"""`penumbra scenarios` and `penumbra phantom --scenario`, from seeds to cases and to the table."""

import pytest
import typer
from pydicom import dcmread
from typer.testing import CliRunner

from service.cli import phantom
from service.physics import add_commands
from worker.errors import Failed

app = typer.Typer()
app.command()(phantom)
add_commands(app)


def penumbra(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def scenarios(out, **options):
    given = {"seed": 31, "count": 1, "passes": 1, "jobs": 1, "only": "thick-slices", "matrix": 160} | options
    return penumbra("scenarios", out, *(word for key, value in given.items() for word in (f"--{key}", value)))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenarios")
    done = scenarios(out)
    assert done.exit_code == 0, done.output
    assert (out / "scenarios.md").read_text().strip() in done.output
    return out


def test_the_table_has_a_row_and_the_command_that_made_it(out):
    lines = (out / "scenarios.md").read_text().splitlines()
    assert lines[2].startswith("| thick-slices | 1 |") and len(lines) == 5 and not lines[3]
    assert (
        "`penumbra scenarios OUT --seed 31 --count 1 --passes 1 --only thick-slices --matrix 160`" in lines[4]
    )
    assert "phantom-small" in lines[4]


@pytest.mark.slow  # another phantom; `tests/models/test_scenario.py` has its truth
def test_a_truth_without_a_bulb_has_no_such_roi(tmp_path):
    done = penumbra("phantom", tmp_path, "--seed", 12, "--matrix", 128, "--scenario", "no-bulb")
    assert done.exit_code == 0, done.output
    truth = dcmread(tmp_path / "case-0000" / "truth.dcm")
    names = {roi.ROIName for roi in truth.StructureSetROISequence}
    assert "PenileBulb" not in names and {"Bladder", "Rectum", "CTVsb"} <= names


def test_it_goes_on_from_what_is_there(out):
    def times():
        return {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}

    before = times()
    assert scenarios(out).exit_code == 0
    assert times() == before


def test_phantoms_of_two_seeds_are_not_mixed(out):
    refused = scenarios(out, seed=13)
    assert isinstance(refused.exception, Failed) and "another seed" in str(refused.exception)


def test_a_case_of_a_scenario_is_a_series_of_its_own(out, phantom_case):
    """Beside the ordinary phantom of the same seed."""
    folders = (out / "thick-slices" / "cases" / "case-0000" / "ct", phantom_case / "ct")
    thick, other = ([dcmread(path) for path in folder.iterdir()] for folder in folders)
    assert {ds.SeriesInstanceUID for ds in thick}.isdisjoint({ds.SeriesInstanceUID for ds in other})
    heights = sorted(float(ds.ImagePositionPatient[2]) for ds in thick)
    assert {round(high - low, 3) for low, high in zip(heights[:-1], heights[1:], strict=True)} == {5.0}
    assert {float(ds.SliceThickness) for ds in thick} == {5.0}


@pytest.mark.parametrize(
    "arguments",
    [
        ("phantom", "x", "--seed", 1, "--scenario", "unheard-of"),
        ("scenarios", "x", "--only", "contrast,nothing"),
    ],
)
def test_an_unknown_scenario_is_wrong_usage(arguments):
    done = penumbra(*arguments)
    assert done.exit_code == 2 and "empty-bladder" in done.output
