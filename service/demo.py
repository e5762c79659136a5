"""The main job, end to end, as a planning system sees it: push a CT by C-STORE, wait, receive the RTSTRUCT.

Everything is real: the embedded system in processes of its own, two DICOM associations, REST for the progress.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydicom import dcmread

from service import terminal
from service.planning_system import PlanningSystem
from service.probes import free_port
from worker.errors import Failed

AE_TITLE = "DEMO_TPS"
READY_TIMEOUT_S, JOB_TIMEOUT_S, DELIVERY_TIMEOUT_S = 120.0, 420.0, 60.0
ENDED = ("done", "rejected", "failed", "cancelled")


class DemoFailed(Failed):
    """The demonstration did not show what it should."""

    code = "demo-failed"


def run_demo(out: Path, *, seed: int, passes: int, matrix: int) -> None:
    """Run the demonstration; leaves `ct/`, `truth.dcm`, `rtstruct.dcm`, `result.json`, `preview.png` in `out`.

    Raises:
        DemoFailed: with the step that went wrong.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    system = PlanningSystem(AE_TITLE, port=free_port("127.0.0.1"), folder=out / "received")
    with system.listening(), _penumbra(out / "data", system, passes=passes) as state:
        terminal.errors.print(f"Penumbra runs: REST {state['api_port']}, DICOM {state['dicom_port']}")
        _draw(out, seed, matrix)
        sent = time.perf_counter()
        count = system.send(
            sorted((out / "ct").glob("*.dcm")), port=state["dicom_port"], called=state["ae_title"]
        )
        terminal.errors.print(f"{AE_TITLE} sent {count} slices by C-STORE")
        with httpx.Client(base_url=f"http://127.0.0.1:{state['api_port']}/api/v1", timeout=30) as rest:
            job = _follow(rest)
            if job["state"] != "done":
                raise DemoFailed(f"The job ended {job['state']}: {job['reason']}.")
            received = system.wait_for_one(DELIVERY_TIMEOUT_S)
            seconds = time.perf_counter() - sent
            for name in ("result", "preview"):
                answer = rest.get(f"/jobs/{job['id']}/{name}").raise_for_status()
                (out / ("result.json" if name == "result" else "preview.png")).write_bytes(answer.content)
    if received is None:
        raise DemoFailed("The RTSTRUCT did not come back by C-STORE.")
    received.replace(out / "rtstruct.dcm")
    shutil.rmtree(out / "received")
    shutil.rmtree(out / "data")
    _check(out, seconds)


@contextmanager
def _penumbra(data: Path, node: PlanningSystem, *, passes: int) -> Iterator[dict]:  # type: ignore[type-arg]
    """`penumbra serve` on free ports, ready, with the planning system as a known node; ended on leaving."""
    nodes = [{"ae_title": node.ae_title, "host": "127.0.0.1", "port": node.port}]
    settings = {"NODES": json.dumps(nodes), "PASSES": str(passes), "QUIET_PERIOD_S": "2"}
    environment = os.environ | {f"PENUMBRA_{name}": value for name, value in settings.items()}
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "serve",
        "--data",
        str(data),
        "--api-port",
        "0",
        "--dicom-port",
        "0",
    ]
    log = data.parent / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():  # the ready line, or the end of the process
            raise DemoFailed(f"Penumbra did not start; see {log}.")
        yield json.loads((data / "serve.json").read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=READY_TIMEOUT_S)


def _draw(out: Path, seed: int, matrix: int) -> None:
    """Draw the phantom patient and lay its files where the demonstration promises them."""
    from worker.phantom_case import write_phantom_case  # numpy and SimpleITK only when needed

    with terminal.progress_bar("drawing a phantom patient") as advance:
        case = write_phantom_case(out, seed=seed, index=0, matrix=matrix)
        (case / "ct").rename(out / "ct")
        (case / "truth.dcm").rename(out / "truth.dcm")
        case.rmdir()
        advance("drew a phantom patient", 1, 1)


def _follow(rest: httpx.Client) -> dict:  # type: ignore[type-arg]
    """Follow the newest job with a bar until it has ended."""
    deadline = time.monotonic() + JOB_TIMEOUT_S
    with terminal.progress_bar("receiving") as advance:
        while time.monotonic() < deadline:
            jobs = rest.get("/jobs", params={"limit": 1}).raise_for_status().json()["jobs"]
            if jobs:
                job = jobs[0]
                text = " ".join(filter(None, (job["state"], job["stage"], job["structure"])))
                advance(text.ljust(34), job["percent"], 100.0)
                if job["state"] in ENDED:
                    return dict(job)
            time.sleep(0.3)
    raise DemoFailed("The job did not end in time.")


def _check(out: Path, seconds: float) -> None:
    """Compare what came back with the phantom's truth, from the files, and print it."""
    from worker.evaluation.case_scoring import score_case

    scores = {s.structure: s for s in score_case(out, out).scores}
    document = json.loads((out / "result.json").read_text())
    rows = []
    for s in document["structures"]:
        dsc = f"{scores[s['name']].dsc:.3f}"
        rows.append([s["name"], f"{s['volume_cc']:.1f}", terminal.quality_of(s), terminal.band_of(s), dsc])
    terminal.table(["structure", "volume cc", "quality", "band mm", "DSC against truth"], rows)
    identity = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
    ct, rtstruct = (
        dcmread(next((out / "ct").glob("*.dcm")), stop_before_pixels=True),
        dcmread(out / "rtstruct.dcm"),
    )
    if any(ct[name].value != rtstruct[name].value for name in identity):
        raise DemoFailed("The RTSTRUCT does not belong to the CT.")
    if not all(s.lower_in_mean and s.mean_in_upper for s in scores.values()):
        raise DemoFailed("The bounds do not enclose the mean contours.")
    terminal.output.print(f"last slice out to RTSTRUCT back: {seconds:.1f} s; {document['passes']} passes")
    terminal.output.print(f"NOT FOR CLINICAL USE: bundle {document['bundle']['name']}", style="bold red")
    terminal.output.print(f"picture: {out / 'preview.png'}", markup=False)
