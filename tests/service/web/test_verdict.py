"""Verdict and downloads in a browser: what is said is recorded and told, and what is taken away is what REST gives."""

import json
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.roles import Role
from service.tokens import Tokens
from worker.report.pdf import can_make_pdf


@pytest.fixture
def job(site, tmp_path, reviewed_files) -> str:
    """A job that is done and can be reviewed; its id."""
    made = site.submit(site.series(tmp_path / "ct", seed="verdict"))
    site.finish(site.claim(made), reviewed_files)
    return made


def rest(site, path: str) -> bytes:
    with urllib.request.urlopen(f"{site.url}/api/v1/jobs/{path}") as answer:
        return answer.read()


def open_review(page: Page, site, job: str) -> Page:
    page.goto(f"{site.url}/jobs/{job}")
    expect(page.locator("#verdict")).to_contain_text("Verdict")
    return page


def of(page: Page, structure: str):
    return page.get_by_role("group", name=structure, exact=True)


def test_a_verdict_is_recorded_told_and_still_there_later(page: Page, site, job) -> None:
    open_review(page, site, job)
    record = page.get_by_role("button", name="Record")
    expect(record).to_be_disabled()  # there is nothing to record
    of(page, "CTV").get_by_label("Minor edits").check()
    of(page, "CTV").get_by_label("Note on CTV").fill("<b>lower</b> end")
    expect(page.locator("#verdict")).to_contain_text("Not recorded yet")
    record.click()
    expect(page.locator("#verdict")).to_contain_text("Recorded.")
    said = json.loads(rest(site, f"{job}/verdict"))["verdicts"]
    assert [(v["structure"], v["grade"], v["note"]) for v in said] == [("CTV", "minor", "<b>lower</b> end")]
    page.reload()
    expect(of(page, "CTV").get_by_label("Minor edits")).to_be_checked()
    expect(of(page, "CTV").get_by_label("Note on CTV")).to_have_value("<b>lower</b> end")
    expect(of(page, "CTV")).to_contain_text("this machine")
    expect(of(page, "Bladder").get_by_label("Usable as is")).not_to_be_checked()


def test_the_keyboard_gives_a_verdict_on_all_and_the_history_keeps_the_first(page: Page, site, job) -> None:
    open_review(page, site, job)
    page.get_by_role("button", name="All usable as is").press("Enter")
    page.get_by_role("button", name="Record").press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Recorded.")
    of(page, "Bladder").get_by_label("Usable as is").press("ArrowRight")
    page.get_by_role("button", name="Record").press("Enter")
    expect(page.locator("#verdict")).to_contain_text("Said before (1)")
    verdict = json.loads(rest(site, f"{job}/verdict"))
    assert {v["structure"]: v["grade"] for v in verdict["verdicts"]} == {
        "CTV": "usable-as-is",
        "Bladder": "minor",
    }
    page.get_by_text("Said before (1)").click()
    expect(page.locator(".verdict-history")).to_contain_text("Bladder: usable as is, this machine")


def test_who_may_only_read_reads_what_was_said(page: Page, site, job) -> None:
    said = json.dumps({"verdicts": [{"structure": "CTV", "grade": "major", "note": "upper end"}]}).encode()
    request = urllib.request.Request(f"{site.url}/api/v1/jobs/{job}/verdict", data=said, method="PUT")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).close()
    _, token = Tokens(site.database).create(Role.VIEW)
    page.goto(f"{site.url}/jobs/{job}")
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#verdict")).to_contain_text("CTV: major edits (upper end), this machine")
    expect(page.locator("#verdict").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("button", name="Send", exact=True)).to_have_count(0)


@pytest.mark.parametrize(
    ("button", "path"),
    [("RTSTRUCT", "rtstruct"), ("Report (HTML)", "report.html"), ("Everything (zip)", "everything")],
)
def test_what_is_taken_away_is_what_rest_gives(page: Page, site, job, button, path) -> None:
    if button.startswith("Everything") and not can_make_pdf():
        pytest.skip("Pango is not installed")
    open_review(page, site, job)
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    taken = Path(download.value.path()).read_bytes()
    if path == "rtstruct":
        assert taken == rest(site, f"{job}/rtstruct")
    else:
        assert download.value.suggested_filename.startswith("penumbra-") and len(taken) > 10_000
        assert (b"Doe, Jane" in taken) if path == "report.html" else taken.startswith(b"PK")


def test_the_result_is_sent_to_a_node_and_the_link_is_told(page: Page, site, job) -> None:
    open_review(page, site, job)
    page.get_by_label("Send to").select_option("PLANNER")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#downloads")).to_contain_text("On its way to PLANNER")
    (delivery,) = json.loads(rest(site, job))["deliveries"]
    assert (delivery["node"], delivery["state"]) == ("PLANNER", "waiting")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#downloads .message")).to_contain_text("Link copied", use_inner_text=True)
