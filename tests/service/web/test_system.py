"""The system page: who may connect, who tried, and whether the nodes answer."""

from playwright.sync_api import expect

from service.contacts import ContactBook
from service.door import Caller

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def test_peers_and_strangers_are_shown_and_a_node_is_asked(site, page) -> None:
    book = ContactBook(site.database)
    book.note(Caller(calling="<b>EVE</b>", called="X", address="192.0.2.9"), HOSTILE)
    book.flush()
    page.goto(f"{site.url}/system")
    for said in ("PLANNER", "<b>EVE</b>", "192.0.2.9", HOSTILE, "has not connected yet"):
        expect(page.locator("#peers")).to_contain_text(said)
    expect(page.get_by_text("Anybody on this machine may connect")).to_be_visible()
    page.get_by_role("button", name="Send a C-ECHO to PLANNER").click()
    expect(page.locator("#peers")).to_contain_text("could not be reached")
    assert page.locator("img").count() == 1
