"""The units are what systemd understands, run what exists, and give their processes little to misuse."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import ServiceSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(path for path in FOLDER.iterdir() if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
PROGRAM = "/opt/penumbra/bin/penumbra"
NOT_OURS = {"PYTHONUNBUFFERED", "MPLCONFIGDIR", "CUDA_VISIBLE_DEVICES"}
EXPOSURE_AT_MOST = 2.5  # of 10, as systemd-analyze counts

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")


def sections(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(path.read_text())
    return parser


@pytest.fixture
def installed(tmp_path) -> Path:
    """The units as they are installed, with a program that exists here."""
    folder = shutil.copytree(FOLDER, tmp_path / "units")
    program = Path(sys.executable).with_name("penumbra")
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace(PROGRAM, str(program)))
    return folder


@needs_systemd
def test_systemd_understands_every_unit(installed) -> None:
    template = (installed / "penumbra-worker@.service").read_text()
    (installed / "penumbra-worker@0.service").write_text(template)
    units = [str(path) for path in installed.iterdir() if path.is_file() and "@." not in path.name]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if str(installed) in line or "penumbra" in line]
    assert not ours


@needs_systemd
@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_part_that_is_broken_into_can_do_little(installed, path) -> None:
    """The common drop-in is joined by hand: offline, systemd looks at single files."""
    joined = installed / path.name
    common = (installed / "penumbra-.service.d" / "10-common.conf").read_text()
    joined.write_text(f"{joined.read_text()}\n{common}")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(joined)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= EXPOSURE_AT_MOST


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_each_unit_runs_a_command_that_exists(path, penumbra) -> None:
    program, *words = shlex.split(sections(path)["Service"]["ExecStart"])
    assert program == PROGRAM
    done = penumbra(words[0], "--help")
    assert done.exit_code == 0
    assert all(option in done.output for option in words[1:] if option.startswith("--"))


def test_every_part_of_a_scaled_out_system_has_a_unit() -> None:
    commands = {" ".join(shlex.split(sections(path)["Service"]["ExecStart"])[1:]) for path in SERVICES}
    parts = {"api", "listener", "reconciler", "worker --queue gpu", "worker --queue delivery"}
    assert parts | {"serve"} <= commands


def test_variables_are_settings() -> None:
    known = {f"PENUMBRA_{name.upper()}" for name in ServiceSettings.model_fields} | NOT_OURS
    for path in (*SERVICES, FOLDER / "penumbra-.service.d" / "10-common.conf"):
        named = set(
            re.findall(
                r"\b([A-Z][A-Z_]+)=", " ".join(re.findall(r"^Environment=(.*)", path.read_text(), re.M))
            )
        )
        assert named <= known, path


def test_only_who_computes_sees_devices() -> None:
    open_to_devices = {
        path.name for path in SERVICES if sections(path)["Service"].get("PrivateDevices") != "yes"
    }
    assert open_to_devices == {"penumbra-serve.service", "penumbra-worker@.service"}
