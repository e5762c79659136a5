"""Everything a clinic's script needs can be done with curl alone."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "120", *arguments], capture_output=True, check=True
    )
    return done.stdout.decode()


def test_submit_follow_and_download(server, server_worker, tmp_path, write_series, pack) -> None:
    series = tmp_path / "series.zip"
    series.write_bytes(
        pack({f"{n}.dcm": data for n, data in enumerate(write_series(seed="curl", slices=20))})
    )

    job = json.loads(curl("-F", f"file=@{series}", "-F", "passes=5", f"{server.url}/api/v1/jobs"))
    assert (job["state"], job["passes"], job["upload"]["received"]) == ("queued", 5, 20)

    running = threading.Thread(target=server_worker.run, args=(job["id"],), kwargs={"pause_s": 0.5})
    running.start()
    events = curl("-N", server.url + job["links"]["events"])
    running.join()
    assert "event: progress" in events
    assert events.rstrip().splitlines()[-2] == "event: end"

    links = json.loads(curl(server.url + job["links"]["self"]))["links"]
    curl("--output-dir", str(tmp_path), "-OJ", server.url + links["rtstruct"])
    downloaded = tmp_path / f"rtstruct-{job['id']}.dcm"
    kept = Path(server_worker.settings.jobs_dir) / job["id"] / "result" / "rtstruct.dcm"
    assert downloaded.read_bytes() == kept.read_bytes()
    assert json.loads(curl(server.url + links["result"])) == {"state": "done"}


def test_refusals_are_readable(server, tmp_path, pack) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(pack({"../../etc/cron.d/x": b"x"}))
    problem = json.loads(curl("-F", f"file=@{bad}", f"{server.url}/api/v1/jobs"))
    assert (problem["status"], problem["code"]) == (422, "unsafe-archive")
    assert problem["remedy"]
