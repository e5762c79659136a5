"""How long a person waits for the pages, measured in the page's own clock in headless Chromium."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

VIEWPORT = (1366, 768)
PATIENCE_MS = 120_000
STEPS = 120

SCROLL = """
async (steps) => {
  const box = document.getElementById("axial");
  const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const frame = () => new Promise(requestAnimationFrame);
  press("End");
  await frame();
  await frame();
  const seen = new Set();
  const began = performance.now();
  for (let step = 0; step < steps; step += 1) {
    press("ArrowUp");
    await frame();
    seen.add(box.dataset.slice);
  }
  return (1000 * seen.size) / (performance.now() - began);
}
"""
"""One arrow key per frame: how many different slices are drawn in a second, at most as many as there are frames."""


@dataclass(frozen=True)
class ReviewCost:
    """Milliseconds from the navigation's start, and slices drawn per second of scrolling.

    The first slice counts once it is drawn: in a window that has cached nothing, and in one that has opened a review.
    """

    first_slice_ms: float
    first_slice_again_ms: float
    all_slices_ms: float
    slices_per_second: float


@dataclass(frozen=True)
class WorklistCost:
    """Milliseconds until the list stands after it was opened, paged, narrowed, or searched."""

    open_ms: float
    next_page_ms: float
    filter_ms: float
    search_uid_ms: float
    search_name_first_ms: float
    search_name_again_ms: float


def measure_review(browser: Browser, url: str, *, rounds: int) -> ReviewCost:
    """Open a review so many times, each in a window that has cached nothing; medians."""
    found = [_review(browser, url) for _ in range(rounds)]
    return ReviewCost(*(median(values) for values in zip(*found, strict=True)))


def _review(browser: Browser, url: str) -> tuple[float, float, float, float]:
    page = _window(browser)
    first, whole = _opened(page, url, "firstSliceMs"), _opened(page, "", "allSlicesMs")
    rate = float(page.evaluate(SCROLL, STEPS))
    again = _opened(page.context.new_page(), url, "firstSliceMs")
    page.context.close()
    return first, again, whole, rate


def _opened(page: Page, url: str, when: str) -> float:
    """What the page noted of itself, after it was opened if there is an address."""
    if url:
        page.goto(url)
    _until(page, "", f"document.documentElement.dataset.{when}")
    return float(page.evaluate(f"document.documentElement.dataset.{when}"))


def measure_worklist(browser: Browser, url: str, *, uid: str, name: str) -> WorklistCost:
    """Open the worklist and use it; `uid` and `name` are those of one series each."""
    page = _window(browser)
    page.goto(url)
    _until(page, "", "document.querySelectorAll('#jobs .patient').length === 50")
    opened = float(page.evaluate("performance.now()"))
    older = _until(page, "document.getElementById('older').click()", _range_begins("51–"))
    states = '[name=state][value="rejected,failed,not-routed"]'
    narrowed = _until(page, f"document.querySelector('{states}').click()", _range_begins("1–"))
    page.evaluate("document.getElementById('clear').click()")
    _until(page, "", _range_begins("1–50 "))
    searches = [
        _until(page, _type(text), "document.querySelectorAll('#jobs tr').length === 1") for text in (uid,)
    ]
    for _ in range(2):
        page.evaluate("document.getElementById('clear').click()")
        _until(page, "", "document.querySelectorAll('#jobs tr').length === 50")
        searches.append(_until(page, _type(name), "document.querySelectorAll('#jobs tr').length === 1"))
    page.context.close()
    return WorklistCost(opened, older, narrowed, *searches)


def _window(browser: Browser) -> Page:
    width, height = VIEWPORT
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def _until(page: Page, action: str, condition: str) -> float:
    """Milliseconds from an action to a condition, looked at once per frame; Playwright's own way needs eval."""
    return float(
        page.evaluate(
            f"""async () => {{
              const began = performance.now();
              {action};
              while (!({condition})) await new Promise(requestAnimationFrame);
              return performance.now() - began;
            }}"""
        )
    )


def _range_begins(text: str) -> str:
    return f"document.getElementById('range').textContent.startsWith('{text}')"


def _type(text: str) -> str:
    return (
        f"document.getElementById('search').value = '{text}';"
        "document.getElementById('search').dispatchEvent(new Event('input', { bubbles: true }))"
    )
