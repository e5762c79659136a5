"""What is no pelvic CT ends with one sentence that names the cause, the instance and the remedy, and no patient."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage
from typer.testing import CliRunner

from service.cli import app
from worker.ct_writer import PatientIdentity, write_ct_series
from worker.grid import Grid

MARKER = "ZZPHIMARK"
PATIENT = PatientIdentity(patient_id=f"{MARKER}-1", name=f"{MARKER}^Otto", birth_date="19371113")
PRIVATE = (MARKER, "Otto", "19371113")
SIZE_XYZ = (64, 64, 24)
SPACING_MM = (5.0, 5.0, 3.0)
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Case:
    """Bad input: its `reason.code`, words that its message must hold, instances of which it must name one."""

    folder: Path
    code: str
    words: tuple[str, ...]
    instances: tuple[str, ...] = ()

    def is_named_by(self, message: str) -> bool:
        one_named = not self.instances or any(each in message for each in self.instances)
        return one_named and all(word in message for word in self.words)


def grid() -> Grid:
    return Grid(
        size_xyz=SIZE_XYZ,
        spacing_mm=SPACING_MM,
        origin_mm=(-157.5, -157.5, -34.5),
        direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
        frame_of_reference_uid="1.2.826.0.1.3680043.10.999.1",
    )


def head_hu() -> np.ndarray:
    """A skull around a brain, in air: 16 cm wide, 20 cm long (z, y, x)."""
    z, y, x = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in reversed(SIZE_XYZ)], indexing="ij")
    r = np.sqrt((5 * x / 80) ** 2 + (5 * y / 100) ** 2 + (3 * z / 90) ** 2)
    hu = np.select([r < 0.85, r < 0.98], [35.0, 900.0], -1000.0)
    return hu + np.random.default_rng(0).normal(0, 10, hu.shape)


def write(folder: Path, seed: str, hu: np.ndarray | None = None, **overrides) -> list[Path]:
    """A series under file names as a careless export gives them."""
    hu = head_hu() if hu is None else hu
    paths = write_ct_series(hu, grid(), folder, patient=PATIENT, uid_seed=seed, **overrides)
    return [path.rename(folder / f"{MARKER}^Otto_{seed}_{path.name}") for path in paths]


def uid(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def no_dicom(folder: Path) -> Case:
    folder.mkdir()
    (folder / f"{MARKER}.txt").write_text("no image")
    return Case(folder, "no-dicom", ("DICOM",))


def magnetic_resonance(folder: Path) -> Case:
    paths = write(folder, "mr", SOPClassUID=MRImageStorage, Modality="MR")
    return Case(folder, "not-ct", ("MR Image Storage",), tuple(uid(path) for path in paths))


def head(folder: Path) -> Case:
    write(folder, "head")
    return Case(folder, "no-pelvis", ("head",))


def uniform(folder: Path) -> Case:
    write(folder, "uniform", np.full(SIZE_XYZ[::-1], 40))
    return Case(folder, "no-pelvis", ("uniform",))


def one_slice_removed(folder: Path) -> Case:
    paths = write(folder, "gap")
    paths[11].unlink()
    return Case(folder, "missing-slices", ("gap of 6.0 mm", uid(paths[10])))


def two_series(folder: Path) -> Case:
    first, second = write(folder, "one")[0], write(folder, "two")[0]
    series = [str(dcmread(path, stop_before_pixels=True).SeriesInstanceUID) for path in (first, second)]
    return Case(folder, "mixed-series", tuple(series))


def truncated(folder: Path) -> Case:
    victim = write(folder, "cut")[7]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) - 1000])
    return Case(folder, "unreadable-instance", (uid(victim),))


def truncated_in_the_header(folder: Path) -> Case:
    victim = write(folder, "cut-header")[7]
    victim.write_bytes(victim.read_bytes()[:700])
    return Case(folder, "unreadable-instance", ())


MAKERS = (
    no_dicom,
    magnetic_resonance,
    head,
    uniform,
    one_slice_removed,
    two_series,
    truncated,
    truncated_in_the_header,
)


def zip_of(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def assert_private(text: str) -> None:
    for word in PRIVATE:
        assert word not in text


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_segment_rejects(make, tmp_path) -> None:
    case = make(tmp_path / "ct")
    out = tmp_path / "out"

    done = CliRunner().invoke(app, ["segment", str(case.folder), str(out), "--device", "cpu"])

    assert done.exit_code == 3, done.output
    document = json.loads((out / "result.json").read_text())
    assert (document["state"], document["reason"]["code"]) == ("rejected", case.code)
    message, remedy = document["reason"]["message"], document["reason"]["remedy"]
    assert case.is_named_by(message), message
    assert message.endswith(".") and remedy.endswith(".")
    assert f"rejected: {message} {remedy}\n" in done.stderr
    assert document["structures"] == [] and not (out / "rtstruct.dcm").exists()
    assert_private(done.output + done.stderr + (out / "result.json").read_text())


def test_the_process_itself_ends_with_3(tmp_path) -> None:
    case = no_dicom(tmp_path / "ct")
    command = [sys.executable, "-m", "service.cli", "segment", str(case.folder), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "rejected: None of the 1 files is a DICOM instance." in done.stderr
    assert "Traceback" not in done.stderr
    assert_private(done.stderr + done.stdout)


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path) -> None:
    done = CliRunner().invoke(app, ["segment", str(tmp_path / "absent"), str(tmp_path / "out")])
    assert done.exit_code == 2


@dataclass(frozen=True)
class Served:
    """A running `penumbra serve` with the real networks' runner, and what may be read of it."""

    data: Path
    output: Path
    url: str

    def upload(self, packed: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/api/v1/jobs", files={"file": packed}, timeout=PATIENCE_S)

    def upload_folder(self, folder: Path) -> httpx.Response:
        return self.upload(zip_of({f"{MARKER}/{path.name}": path.read_bytes() for path in folder.iterdir()}))

    def rejected(self, job_id: str) -> dict:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            job = httpx.get(f"{self.url}/api/v1/jobs/{job_id}", timeout=PATIENCE_S).json()
            if job["state"] not in {"receiving", "queued", "running"}:
                return job
            time.sleep(0.2)
        raise AssertionError(f"the job did not end within {PATIENCE_S} s: {job}")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    data = tmp_path_factory.mktemp("served") / "data"
    output = data.parent / "serve.txt"
    command = [sys.executable, "-m", "service.cli", "serve", "--data", str(data)]
    ports = ["--api-port", "0", "--dicom-port", "0"]
    environment = {**os.environ, "PENUMBRA_MIN_FREE_BYTES": "1000"}
    with output.open("wb") as stream:
        process = subprocess.Popen([*command, *ports], stdout=stream, stderr=stream, env=environment)
    try:
        yield Served(data, output, f"http://127.0.0.1:{wait_until_ready(process, data)}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def wait_until_ready(process: subprocess.Popen, data: Path) -> int:
    """The API's port, once all parts answer."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "`penumbra serve` ended"
        with contextlib.suppress(FileNotFoundError):
            state = json.loads((data / "serve.json").read_text())
            if state["ready"]:
                return state["api_port"]
        time.sleep(0.1)
    raise AssertionError(f"`penumbra serve` was not ready within {PATIENCE_S} s")


def test_the_service_rejects_and_tells_nobody_who(served, tmp_path) -> None:
    """The job is rejected by the guard in the worker; what no job can be made of is refused at once."""
    waiting, answers = {}, []
    for make in (magnetic_resonance, head, uniform, one_slice_removed):
        case = make(tmp_path / make.__name__)
        answer = served.upload_folder(case.folder)
        assert answer.status_code == 202, answer.text
        waiting[answer.json()["id"]] = case
        answers.append(answer.text)
    for make in (no_dicom, two_series, truncated, truncated_in_the_header):
        case = make(tmp_path / make.__name__)
        answer = served.upload_folder(case.folder)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["code"] == case.code
        assert problem["detail"].endswith(".") and problem["remedy"].endswith(".")
        answers.append(answer.text)

    for job_id, case in waiting.items():
        job = served.rejected(job_id)
        assert (job["state"], job["reason"]["code"]) == ("rejected", case.code)
        assert case.is_named_by(job["reason"]["message"]), job["reason"]
        assert "rtstruct" not in job["links"]
        answers += [json.dumps(job), httpx.get(served.url + job["links"]["result"]).text]

    assert_private("\n".join(answers))
    written = [path for path in served.data.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    assert any(path.suffix == ".log" for path in written)
    for path in [*written, served.output]:
        assert_private(path.read_bytes().decode(errors="replace"))
    assert len(list(served.data.glob("inbox/*/*.dcm"))) > 4 * 20, "what was received is kept"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({f"../../{MARKER}.dcm": b"x"}, "unsafe-archive"),
        ({f"/tmp/{MARKER}.dcm": b"x"}, "unsafe-archive"),
        ({f"{MARKER}.dcm": bytes(80 * 2**20)}, "too-large"),
    ],
    ids=["parent", "absolute", "bomb"],
)
def test_the_service_unpacks_no_trap(served, members, code) -> None:
    before = sorted(served.data.glob("inbox/*/*.dcm"))
    answer = served.upload(zip_of(members))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["remedy"].endswith(".")
    assert_private(answer.text)
    assert sorted(served.data.glob("inbox/*/*.dcm")) == before
    assert not list(served.data.parent.glob(f"**/{MARKER}*"))
