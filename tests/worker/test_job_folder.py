import os

import pytest

from worker.job_folder import (
    JobRequest,
    attempt_dir,
    instances_dir,
    publish_attempt,
    read_request,
    remove_attempts,
    write_atomically,
    write_job_folder,
)

REQUEST = JobRequest(job_id="j", series_instance_uid="1.2.3", passes=7, seed=1)


@pytest.fixture
def instances(tmp_path):
    paths = [tmp_path / name for name in ("b", "a")]
    for path in paths:
        path.write_text(path.name)
    return paths


def test_request_is_read_back_and_instances_are_numbered_links(tmp_path, instances):
    folder = tmp_path / "jobs" / "j"
    write_job_folder(folder, REQUEST, instances)
    write_job_folder(folder, REQUEST, instances)
    assert read_request(folder) == REQUEST
    linked = sorted(instances_dir(folder).iterdir())
    assert [(path.name, path.read_text()) for path in linked] == [("000001.dcm", "b"), ("000002.dcm", "a")]
    assert linked[0].samefile(instances[0])


def test_instances_are_copied_where_links_are_impossible(tmp_path, instances, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = tmp_path / "jobs" / "j"
    write_job_folder(folder, REQUEST, instances)
    assert (instances_dir(folder) / "000001.dcm").read_text() == "b"


def test_unfinished_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_atomically(path, b"old")

    def fail(_descriptor):
        raise OSError("disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_attempt_without_a_result_is_not_published(tmp_path):
    attempt_dir(tmp_path, 1).mkdir()
    assert publish_attempt(tmp_path, 1, state="done") is None
    remove_attempts(tmp_path)
    assert list(tmp_path.iterdir()) == []
