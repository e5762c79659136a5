"""What the tests of the house itself share: the repository, and its command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service import cli, operation, physics

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def penumbra() -> Callable[..., Result]:
    """Run `penumbra` in this process: `penumbra("bench", "mc", "--help")`."""
    operation.add_commands(cli.app)
    physics.add_commands(cli.app)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(cli.app, arguments)
