"""For all tests: where every tool is promised, a test that skips for want of one fails."""

import os

import pytest

ALL_TOOLS = os.environ.get("PENUMBRA_ALL_TOOLS") == "1"  # `.ci/run` sets it
MAY_BE_ABSENT = ("real data not at hand",)  # others' files, which are not part of the project


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
