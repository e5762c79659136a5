"""What others see of us: three top-level names, one command, arrows that run one way."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OURS = ("service", "worker", "models")
DISTRIBUTION = "penumbra-rt"


@pytest.mark.parametrize("name", OURS)
def test_our_names_are_ours_alone(name, root) -> None:
    """Flat names are short and could be anybody's; here they may be only ours."""
    owners = set(importlib.metadata.packages_distributions().get(name, ()))
    assert owners <= {DISTRIBUTION}  # an editable installation owns a path, not names
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin == str(root / name / "__init__.py")


def test_nothing_else_of_ours_lies_at_the_top() -> None:
    found = importlib.metadata.packages_distributions()
    assert {name for name, owners in found.items() if DISTRIBUTION in owners} <= set(OURS)


def test_there_is_one_command() -> None:
    entry_points = importlib.metadata.distribution(DISTRIBUTION).entry_points
    assert [(each.group, each.name) for each in entry_points] == [("console_scripts", "penumbra")]


def test_arrows_run_one_way(root) -> None:
    """The contracts of pyproject.toml."""
    lint = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert lint, "import-linter belongs to the development extras"
    done = subprocess.run([lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_contracts_are_there_to_be_kept(root) -> None:
    """An empty list of contracts would be kept too."""
    text = (root / "pyproject.toml").read_text()
    assert 'layers = ["service", "worker", "models"]' in text
    assert text.count("[[tool.importlinter.contracts]]") >= 3
