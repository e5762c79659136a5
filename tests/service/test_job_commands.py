"""`penumbra jobs`, on the database of a system that is not running."""

import json

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.jobs import JobNotFound

SERIES = "1.2.826.0.1.3680043.10.999.7"


@pytest.fixture
def run(settings, database):
    def invoke(*arguments):
        return CliRunner().invoke(app, ["jobs", *arguments, "--data", str(settings.data_dir)])

    return invoke


@pytest.fixture
def job(receive, jobs):
    receive()
    return jobs.submit(SERIES)


def test_jobs_are_listed_and_narrowed(run, job, jobs):
    other = jobs.submit(SERIES, bundle="other")
    listed = json.loads(run("list", "--json").stdout)
    assert [each["id"] for each in listed] == [other.id, job.id]
    assert json.loads(run("list", "--json", "--bundle", "other").stdout)[0]["id"] == other.id
    assert json.loads(run("list", "--json", "--state", "done").stdout) == []
    assert json.loads(run("list", "--json", "--since", "2100-01-01").stdout) == []
    assert job.id[:8] in run("list").stdout


def test_a_job_is_shown_by_the_beginning_of_its_id_without_patient(run, job):
    shown = run("show", job.id[:8])
    assert job.id in shown.stdout and "state: queued" in shown.stdout
    assert "ZZPHIMARK" not in shown.stdout
    assert json.loads(run("show", job.id, "--json").stdout)["series_instance_uid"] == SERIES


def test_cancel_retry_rerun_priority(run, job, jobs):
    assert "state: cancelled" in run("cancel", job.id).stdout
    assert "state: queued" in run("retry", job.id).stdout
    assert "priority: 1" in run("priority", job.id, "1").stdout
    again = run("rerun", job.id, "--bundle", "other", "--seed", "5")
    assert f"rerun of: {job.id}" in again.stdout
    assert {(each.bundle, each.seed) for each in jobs.list().jobs} == {(None, 0), ("other", 5)}


@pytest.mark.parametrize("beginning", ["ffffffff", "", "%"])
def test_an_id_that_is_no_job_or_several_is_told(run, job, jobs, beginning):
    jobs.submit(SERIES, seed=1)
    assert isinstance(run("cancel", beginning).exception, JobNotFound)
