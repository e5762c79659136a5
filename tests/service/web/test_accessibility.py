"""Every page in both themes, as axe-core sees it; and the worklist by keyboard alone."""

import pytest
from playwright.sync_api import expect

from service.showcase.crowd import crowd
from worker.ledger import ProgressReport


@pytest.fixture
def busy_site(site, instances):
    """A site with a running job, a refused one, and some that are done."""
    crowd(site.database, 60)
    claim = site.claim(site.submit(instances))
    site.ledger.renew(claim, ProgressReport(stage="segmenting", structure="CTV", percent=30.0))
    return site


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_page_has_a_serious_finding(busy_site, page, check_accessibility, theme) -> None:
    page.add_init_script(f"localStorage.setItem('penumbra-theme', '{theme}')")
    shown = {"/": "#jobs tr", "/bundles": "#bundles li", "/system": "#peers li"}
    for path, part in shown.items():
        page.goto(busy_site.url + path)
        expect(page.locator(part).first).to_be_visible()
        check_accessibility(page)


def test_the_form_for_a_token_has_none_either(locked_site, page, check_accessibility) -> None:
    page.goto(locked_site.url)
    expect(page.get_by_label("API token")).to_be_visible()
    check_accessibility(page)


def test_the_worklist_is_used_by_keyboard(busy_site, page) -> None:
    page.goto(busy_site.url)
    expect(page.locator("#connection")).to_have_text("live")
    page.keyboard.press("/")
    page.keyboard.type("zzphi")
    expect(page.locator("#jobs tr")).to_have_count(1)
    cancel = page.get_by_role("button", name="Cancel job")
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#jobs .state")).to_have_text("Stopping")
