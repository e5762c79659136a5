"""Debian's Chromium, driven by Playwright: both are of the development extra only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import Failed

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class NoBrowser(Failed):
    """Chromium or Playwright is missing."""

    code = "no-browser"
    default_message = "Chromium or Playwright is not installed."
    default_remedy = "Install Debian's chromium, and Penumbra with its extra: pip install -e '.[dev]'."


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a screen.

    Raises:
        NoBrowser: it cannot be started here.
    """
    program = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowser from error
    if program is None:
        raise NoBrowser
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
