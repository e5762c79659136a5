"""A served application, and a window of Chromium that Playwright drives."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from service.app import server_of
from service.database import open_database
from service.inbox import Inbox
from service.jobs import Jobs
from service.ledger import SqlLedger
from service.settings import NodeSettings, ServiceSettings
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid
from worker.job_folder import Outcome, attempt_dir
from worker.ledger import Claim

TOKEN = "a-token-for-the-page"
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Site:
    """A server with pages, and the hands to move its jobs."""

    settings: ServiceSettings
    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        self.database = open_database(self.settings)
        self.jobs = Jobs(self.settings, self.database)
        self.ledger = SqlLedger(self.settings, self.database)
        self.inbox = Inbox(self.settings, self.database)

    def submit(self, instances: list[bytes], sender: str = "TPS") -> str:
        """A queued job for these instances, as if they had come by C-STORE."""
        received = [self.inbox.receive(data, sender=sender, source="dicom") for data in instances]
        return self.jobs.submit(received[0].series_instance_uid).id

    def series(self, folder: Path, *, seed: str) -> list[bytes]:
        """A small CT series whose patient has a hostile name; another seed makes other UIDs."""
        return make_series(folder, patient="ZZPHIMARK^<script>alert(1)</script>", seed=seed)

    def claim(self, job_id: str) -> Claim:
        """Take the job as a worker does."""
        claim = self.ledger.claim(job_id, "stub")
        assert claim is not None
        return claim

    def finish(self, claim: Claim, files: dict[str, bytes]) -> None:
        """End the job with these files as its result."""
        attempt = attempt_dir(claim.folder, claim.fence)
        attempt.mkdir()
        for name, data in files.items():
            (attempt / name).write_bytes(data)
        self.ledger.publish(claim, Outcome("done"))


def make_series(folder: Path, *, patient: str, seed: str, slices: int = 3) -> list[bytes]:
    """A small CT series of that patient; another seed makes other UIDs."""
    grid = Grid(
        size_xyz=(16, 16, slices),
        spacing_mm=(1.0, 1.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
        frame_of_reference_uid="2.25.7",
    )
    hu = np.zeros((slices, 16, 16), np.int16)
    identity = PatientIdentity(patient_id="ZZPHIMARK", name=patient)
    return [path.read_bytes() for path in write_ct_series(hu, grid, folder, patient=identity, uid_seed=seed)]


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("ct")
    return make_series(folder, patient="ZZPHIMARK^<script>alert(1)</script>", seed="web")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from serve(tmp_path, token=None)


@pytest.fixture
def locked_site(tmp_path: Path) -> Iterator[Site]:
    yield from serve(tmp_path, token=TOKEN)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all tests of a file, which therefore look at jobs of their own."""
    yield from serve(tmp_path_factory.mktemp("site"), token=None)


def serve(folder: Path, *, token: str | None) -> Iterator[Site]:
    """The API and its pages on a free port, until the test is over."""
    bundle = folder / "bundles" / "phantom-small"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text(json.dumps({"version": "0.1", "intended_use": "research-phantom"}))
    listening = socket.create_server(("127.0.0.1", 0))
    settings = ServiceSettings(
        data_dir=folder / "data",
        api_port=listening.getsockname()[1],
        api_token=token,
        bundles_dir=folder / "bundles",
        min_free_bytes=0,
        ae_title="<i>&AE",
        nodes=(NodeSettings(ae_title="PLANNER", host="127.0.0.1", port=1),),
    )
    server = server_of(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Site(settings, f"http://127.0.0.1:{settings.api_port}", token)
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


@dataclass
class Watch:
    """What no page may do: throw, open a dialog, be held by its security policy, ask another origin."""

    complaints: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    def over(self, context: BrowserContext) -> None:
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        context.on("console", self._heard)
        context.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"blob", "data", "about"}:
            self.origins.add(f"{parts.scheme}://{parts.netloc}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. One per module: while it runs, asyncio.run is not to be had in this process."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("PENUMBRA_ALL_TOOLS"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window of its own; the test fails if a page in it did what none may (see `Watch`)."""
    context = chromium.new_context(viewport={"width": 1366, "height": 768}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch()
    watch.over(context)
    yield context.new_page()
    context.close()
    assert watch.complaints == []
    assert len(watch.origins) <= 1, watch.origins


@pytest.fixture(scope="session")
def check_accessibility() -> Callable[[Page], None]:
    """Let axe-core look at what a window shows now; fails on whatever it calls serious or critical."""
    axe = (Path(__file__).parent / "axe" / "axe.min.js").read_text()

    def check(page: Page) -> None:
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        assert len(found["passes"]) > 10
        serious = [
            f"{rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for rule in found["violations"]
            if rule["impact"] in {"serious", "critical"}
            for node in rule["nodes"]
        ]
        assert serious == []

    return check
