"""What is installed is listed, weights and broker included; an audit that could ask nobody says so."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SUPPLY = ROOT / "deploy" / "supply"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"supply_{name}", SUPPLY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def components(tmp_path_factory) -> dict[str, dict]:
    """The bill of materials as `make sbom` makes it, by normalised name."""
    out = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([sys.executable, SUPPLY / "sbom.py", out], check=True, capture_output=True)
    document = json.loads(out.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "penumbra-rt")
    return {normalised(each["name"]): each for each in document["components"]}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_pinned_package_is_named_with_its_version(components) -> None:
    for name, version in pins().items():
        assert components[normalised(name)]["version"].split("+")[0] == version, name


def test_what_no_package_shows_is_named_with_its_hash(components) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", components["valkey-server"]["version"])
    bundle = components["phantom-small"]
    told = json.loads((ROOT / "models" / "bundles" / "phantom-small" / "bundle.json").read_text())
    assert bundle["version"] == told["version"] and len(bundle["components"]) == 7
    for each in (components["valkey-server"], bundle, *bundle["components"]):
        assert len(each["hashes"][0]["content"]) == 64


def answer(name: str, *weaknesses: str) -> dict:
    vulns = [{"id": weakness, "fix_versions": ["2"]} for weakness in weaknesses]
    return {"name": name, "version": "1", "vulns": vulns}


SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ([answer("a"), answer("b"), answer("c")], 0, "3 of 3 packages audited, 0 known"),
        ([answer("a"), answer("b", "CVE-1"), SKIPPED], 1, "b 1: CVE-1, mended in 2"),
        ([answer("a"), answer("b"), SKIPPED], 2, "Not audited: 1 (c)"),
        ([SKIPPED, SKIPPED, SKIPPED], 2, "0 of 3 packages audited"),
        ([], 2, "No advisory database could be reached"),
    ],
)
def test_an_audit_is_clean_only_if_everything_was_asked_about(answers, code, said) -> None:
    verdict = load("audit").judge(3, answers)
    assert verdict.code == code and said in verdict.text


def test_without_a_network_the_audit_says_so(tmp_path) -> None:
    packages = [{"name": "numpy", "version": "2.4.6+cpu", "purl": "pkg:pypi/numpy@2.4.6"}]
    (tmp_path / "sbom.json").write_text(json.dumps({"components": [*packages, {"name": "valkey-server"}]}))
    nowhere = os.environ | {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, SUPPLY / "audit.py", tmp_path / "sbom.json"],
        env=nowhere,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith("0 of 1 packages audited") and "says nothing" in done.stdout
