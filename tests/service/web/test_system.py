"""The system page: who may connect, who tried, and whether the nodes answer."""

import re
import time

from playwright.sync_api import expect
from sqlalchemy import update

from service.contacts import ContactBook
from service.counts import LONG_WAIT_S
from service.door import Caller
from service.records import JobEventRecord

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


def test_a_long_wait_is_coloured(site, page, instances) -> None:
    site.submit(instances)
    wait = page.locator("#queue > *", has_text="Longest wait").locator(".large")
    for age_s, is_long in ((0, False), (LONG_WAIT_S + 1, True)):
        with site.database.write() as session:
            session.execute(update(JobEventRecord).values(at=time.time() - age_s))
        page.goto(f"{site.url}/system")
        expect(wait).to_have_class(re.compile("large bad" if is_long else "^large ?$"))
