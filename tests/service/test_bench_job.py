"""`penumbra bench job`, on a small phantom."""

import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from service.physics.bench import bench
from service.physics.job_cost import measure_job
from worker.bench_series import write_bench_series
from worker.series import read_series

SLICES = 30


def test_the_phantom_has_as_many_slices_as_wanted(tmp_path):
    series = read_series(write_bench_series(tmp_path / "ct", slices=SLICES, matrix=128))
    assert series.hu.shape == (SLICES, 128, 128)
    assert 250 < SLICES * series.grid.spacing_mm[2] < 450


def test_a_job_is_timed_by_stage_and_weighed(phantom_case):
    ct = phantom_case / "ct"
    done = CliRunner().invoke(bench, ["job", "--ct-dir", str(ct), "--passes", "1"])
    assert done.exit_code == 0, done.output
    for word in ("localise", "CTV", "write", f"{len(list(ct.iterdir()))} slices", "GB of memory"):
        assert word in done.output


def test_a_job_that_is_rejected_is_no_figure(phantom_case, tmp_path):
    (tmp_path / "ct").mkdir()
    for path in sorted((phantom_case / "ct").iterdir())[:5]:
        shutil.copy(path, tmp_path / "ct")
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        measure_job(tmp_path / "ct", tmp_path / "out")
    assert refusal.value.returncode == 3
    assert (tmp_path / "out" / "result.json").exists()
