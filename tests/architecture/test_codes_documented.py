"""Every code that a client may meet stands in the page for users."""

import inspect
import re
from pathlib import Path

from worker import errors

ROOT = Path(__file__).parents[2]
SOURCES = ("guard", "plausibility", "pipeline", "series", "instance_files", "slice_geometry")


def documented():
    return set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", (ROOT / "docs" / "users" / "findings.md").read_text()))


def test_every_reason_is_documented():
    kinds = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.PenumbraError)]
    general = {"error"}
    assert {kind.code for kind in kinds} - general - documented() == set()


def test_every_finding_is_documented():
    text = "".join((ROOT / "worker" / f"{name}.py").read_text() for name in SOURCES)
    codes = set(re.findall(r'Finding\(\s*code="([a-z-]+)"', text))
    assert len(codes) > 15 and codes - documented() == set()
