"""From a zip in the hand to a verdict, with everything real: processes, networks, Chromium."""

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pydicom import dcmread

TOKEN = "a-token-for-the-journey"
NAME = "<script>alert(1)</script>^Test"
CONTOURED_MS = 300_000


@dataclass
class Served:
    """`penumbra serve`, and how to ask its REST."""

    url: str

    def get(self, path: str) -> bytes:
        asked = urllib.request.Request(
            f"{self.url}/api/v1{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked) as answer:
            return bytes(answer.read())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    data = tmp_path / "data"
    settings = {
        "PENUMBRA_DATA_DIR": str(data),
        "PENUMBRA_API_PORT": "0",
        "PENUMBRA_DICOM_PORT": "0",
        "PENUMBRA_API_TOKEN": TOKEN,
        "PENUMBRA_PASSES": "2",
        "PENUMBRA_MIN_FREE_BYTES": "1000",
    }
    command = [sys.executable, "-m", "service.cli", "serve"]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
        try:
            yield Served(f"http://127.0.0.1:{_ready(process, data, tmp_path / 'serve.log')['api_port']}")
        finally:
            process.terminate()
            assert process.wait(60) == 0


def _ready(process: subprocess.Popen[bytes], data: Path, log: Path) -> dict[str, object]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        if (data / "serve.json").exists():
            state: dict[str, object] = json.loads((data / "serve.json").read_text())
            if state.get("ready"):
                return state
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def zipped(case: Path) -> bytes:
    """The CT of a phantom, with a patient who has a hostile name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((case / "ct").iterdir()):
            dataset = dcmread(path)
            dataset.PatientName = NAME
            written = io.BytesIO()
            dataset.save_as(written)
            archive.writestr(path.name, written.getvalue())
    return packed.getvalue()


def test_from_a_zip_to_a_verdict(served: Served, page: Page, phantom_case: Path) -> None:
    page.goto(served.url)
    page.get_by_label("API token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#connection")).to_have_text("live")

    archive = {"name": "ct.zip", "mimeType": "application/zip", "buffer": zipped(phantom_case)}
    page.locator("#files").set_input_files(archive)
    row = page.locator("#jobs tr")
    expect(row).to_contain_text("<script>alert(1)</script>")
    expect(row).to_contain_text(re.compile("pass|Contouring|Reading|Locali", re.I), timeout=CONTOURED_MS)
    expect(row).to_contain_text("Done", timeout=CONTOURED_MS)

    row.get_by_role("link", name="Review").click()
    page.locator("html[data-all-slices-ms]").wait_for(state="attached")
    before = page.locator("#axial").get_attribute("data-slice")
    page.locator("#axial canvas").first.hover()
    page.mouse.wheel(0, 120)
    expect(page.locator("#axial")).not_to_have_attribute("data-slice", before or "")
    page.get_by_role("button", name="Bone").click()
    expect(page.locator("#window-text")).to_have_text("W 1500 L 300")
    bounds = page.get_by_role("button", name="Bounds")
    bounds.click()
    expect(bounds).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("n")
    expect(page.locator("#places-tally")).to_contain_text("1 of")

    page.get_by_label("Minor edits").first.check(force=True)
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#verdict")).to_contain_text("Recorded.")
    with page.expect_download() as coming:
        page.get_by_role("button", name="RTSTRUCT").click()

    (job,) = json.loads(served.get("/jobs"))["jobs"]
    assert coming.value.path().read_bytes() == served.get(f"/jobs/{job['id']}/rtstruct")
    (verdict,) = json.loads(served.get(f"/jobs/{job['id']}/verdict"))["verdicts"]
    assert verdict["grade"] == "minor"
