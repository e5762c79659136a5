"""For all tests: what runs first, what is shared by all, and where every tool is promised none may be missing."""

import fcntl
import os
from pathlib import Path

import pytest

ALL_TOOLS = os.environ.get("PENUMBRA_ALL_TOOLS") == "1"  # `.ci/run` sets it
MAY_BE_ABSENT = ("real data not at hand",)  # others' files, which are not part of the project
SEED, INDEX, MATRIX = 31, 0, 160  # of the phantom that all share
LONGEST = (  # a minute or more on one core; begun first, so that no worker is left alone with one at the end
    "end_to_end/test_demo.py",
    "end_to_end/test_kills.py",
    "end_to_end/test_supervisor.py",
    "worker/test_pipeline.py",
    "service/test_ablation_command.py",
    "service/test_calibrate_command.py",
    "service/test_scenarios_command.py",
    "service/test_train_command.py",
    "service/web/test_journey.py",
    "worker/test_prepare.py",
)

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker per core: more threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """The longest files first; `--no-loadscope-reorder` keeps pytest-xdist from beginning with the fullest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    root = Path(__file__).parent
    items.sort(key=lambda item: place.get(item.path.relative_to(root).as_posix(), len(place)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure, with its reason."""
    report = yield
    if ALL_TOOLS and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(text in reason for text in MAY_BE_ABSENT):
            report.outcome = "failed"
            report.longrepr = f"PENUMBRA_ALL_TOOLS is set, but: {reason}"
    return report


@pytest.fixture(scope="session")
def phantom_case(tmp_path_factory):
    """Folder of a phantom case (`ct/`, `truth.dcm`), drawn once for all workers of a run. Shared: do not change it.

    It is what `penumbra phantom OUT --seed 31 --matrix 160` draws.
    """
    from worker.phantom_case import case_name, write_phantom_case

    run = tmp_path_factory.getbasetemp()
    shared = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "phantom"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "whole").exists():
            write_phantom_case(shared, seed=SEED, index=INDEX, matrix=MATRIX)
            (shared / "whole").touch()
    return shared / case_name(INDEX)
