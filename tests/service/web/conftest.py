"""A served application, and Chromium driven through its debugging pipe."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from service.database import open_database
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.settings import NodeSettings, ServiceSettings
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid

TOKEN = "a-token-for-the-page"
SERVER = "from service import app, settings; app.run_api(settings.ServiceSettings())"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-pipe"
)


@dataclass
class Site:
    """A server with a page, and the hands to move its jobs."""

    settings: ServiceSettings
    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        database = open_database(self.settings)
        self.jobs = Jobs(self.settings, database)
        self.ledger = SqlLedger(self.settings, database)
        self.inbox = Inbox(self.settings, database)


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    grid = Grid(
        size_xyz=(16, 16, 3),
        spacing_mm=(1.0, 1.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference_uid="2.25.7",
    )
    hu = np.zeros((3, 16, 16), np.int16)
    patient = PatientIdentity(patient_id="ZZPHIMARK", name="ZZPHIMARK^<script>alert(1)</script>")
    paths = write_ct_series(hu, grid, tmp_path_factory.mktemp("ct"), patient=patient, uid_seed="web")
    return [path.read_bytes() for path in paths]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from _serve(tmp_path, token=None)


@pytest.fixture
def locked_site(tmp_path: Path) -> Iterator[Site]:
    yield from _serve(tmp_path, token=TOKEN)


def _serve(folder: Path, *, token: str | None) -> Iterator[Site]:
    bundle = folder / "bundles" / "phantom-small"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text(json.dumps({"version": "0.1", "intended_use": "research-phantom"}))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = ServiceSettings(
        data_dir=folder / "data",
        api_port=port,
        api_token=token,
        bundles_dir=folder / "bundles",
        min_free_bytes=0,
        ae_title="<i>&AE",
        nodes=(NodeSettings(ae_title="PLANNER", host="127.0.0.1", port=1),),
    )
    process = subprocess.Popen([sys.executable, "-c", SERVER], env=os.environ | settings.environment())
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}")
        yield Site(settings, f"http://127.0.0.1:{port}", token)
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            urllib.request.urlopen(f"{url}/readyz")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not get ready")


@dataclass
class Browser:
    """One page in Chromium; `complaints` are exceptions, CSP violations and dialogs."""

    process: subprocess.Popen[bytes]
    out: int
    back: int
    session: str | None = None
    number: int = 0
    buffer: bytes = b""
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> object:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> object:
        end = time.monotonic() + seconds
        calmly = f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()"
        while time.monotonic() < end:
            if value := self.evaluate(calmly):
                return value
            time.sleep(0.1)
        raise AssertionError(f"{expression} never came true; page: {self.text()}; {self.complaints}")

    def text(self) -> str:
        return str(self.evaluate("document.body.innerText"))

    def call(self, method: str, **arguments: object) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": arguments}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _read(self) -> dict:
        while b"\0" not in self.buffer:
            data = os.read(self.back, 2**20)
            assert data, "Chromium has gone"
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict) -> None:
        if event.get("method") in {"Runtime.exceptionThrown", "Page.javascriptDialogOpening"}:
            self.complaints.append(json.dumps(event["params"]))
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["source"] == "security":
            self.complaints.append(event["params"]["entry"]["text"])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    to_browser, out = os.pipe()
    back, from_browser = os.pipe()
    command = (
        f"exec {program} {FLAGS} --user-data-dir={tmp_path / 'profile'} 3<&{to_browser} 4>&{from_browser}"
    )
    process = subprocess.Popen(
        ["bash", "-c", command], pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(process, out, back)
    finally:
        process.terminate()
        process.wait(60)
        os.close(out)
        os.close(back)
