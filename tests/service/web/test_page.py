"""The page in a browser: it shows jobs as they move, takes files, and runs nothing that came with them."""

import base64
import json
import re

import pytest

from service.contacts import ContactBook
from service.database import open_database
from service.door import Caller
from service.jobs import Jobs
from service.settings import ServiceSettings
from service.web.pages import STATIC, WEB
from worker.job_folder import Outcome, attempt_dir
from worker.ledger import ProgressReport

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SEND = """
(() => {
  const files = new DataTransfer();
  for (const text of %s) {
    files.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "ZZPHIMARK.dcm"));
  }
  const input = document.getElementById("files");
  input.files = files.files;
  input.dispatchEvent(new Event("change"));
})()
"""
ROW = "document.querySelector('#jobs li')"
LIVE = "document.getElementById('connection').textContent === 'live'"


def send(browser, *files: bytes) -> None:
    browser.evaluate(SEND % json.dumps([base64.b64encode(data).decode() for data in files]))


def row_says(browser, text: str) -> None:
    browser.wait_for(f"{ROW}?.innerText.includes({json.dumps(text)})")


def test_a_job_is_sent_followed_and_offered_for_download(site, browser, instances) -> None:
    browser.open(site.url)
    browser.wait_for(LIVE)
    assert "No job yet" in browser.text()
    assert "NOT FOR CLINICAL USE · phantom-trained bundle" in browser.text()
    assert "<i>&AE" in browser.text()

    send(browser, *instances, b"no dicom")
    row_says(browser, "Waiting for a worker")
    assert "3 instances received, 1 other files left out" in browser.text()
    job_id = site.jobs.list().jobs[0].id

    claim = site.ledger.claim(job_id, "stub")
    progress = ProgressReport(
        stage="segmenting", structure="Bladder", passes_done=23, passes_total=50, percent=41.5
    )
    site.ledger.renew(claim, progress)
    row_says(browser, "Contouring: the bladder · pass 23 of 50")
    assert browser.evaluate(f"{ROW}.querySelector('progress').value") == 41.5

    attempt = attempt_dir(claim.folder, claim.fence)
    attempt.mkdir()
    for name in ("result.json", "rtstruct.dcm"):
        (attempt / name).write_bytes(b"{}")
    site.ledger.publish(claim, Outcome("done"))
    row_says(browser, "Download RTSTRUCT")
    row_says(browser, "NOT FOR CLINICAL USE")
    assert "ZZPHIMARK" not in browser.evaluate("document.documentElement.outerHTML")
    assert browser.complaints == []


def test_refusals_are_told_in_the_row_and_never_run(site, browser, instances) -> None:
    browser.open(site.url)
    browser.wait_for(LIVE)
    received = [site.inbox.receive(data, sender="TPS", source="dicom") for data in instances]
    job = site.jobs.submit(received[0].series_instance_uid)
    claim = site.ledger.claim(job.id, "stub")
    reason = {"code": "missing-slices", "message": f"A gap. {HOSTILE}", "remedy": "Send the series again."}
    site.ledger.publish(claim, Outcome("rejected", reason))
    row_says(browser, f"A gap. {HOSTILE}")
    row_says(browser, "Send the series again.")
    browser.evaluate(f"{ROW}.querySelector('.actions button').click()")
    row_says(browser, "Waiting for a worker")
    browser.evaluate(f"{ROW}.querySelector('.actions button').click()")
    row_says(browser, "Cancelled")
    assert browser.evaluate("document.images.length") == 1
    assert browser.complaints == []


def test_a_refused_upload_is_explained(site, browser) -> None:
    browser.open(site.url)
    browser.wait_for(LIVE)
    send(browser, b"no dicom")
    browser.wait_for("document.body.innerText.includes('No DICOM instance was found.')")
    assert browser.complaints == []


def test_a_locked_page_asks_for_the_token_once(locked_site, browser, instances) -> None:
    browser.open(locked_site.url)
    browser.wait_for("!document.getElementById('token-form').hidden")
    enter = (
        "document.getElementById('token').value = %r; document.querySelector('#token-form button').click()"
    )
    browser.evaluate(enter % "wrong")
    browser.wait_for("document.body.innerText.includes('refused this token')")
    browser.evaluate(enter % locked_site.token)
    browser.wait_for(LIVE)
    send(browser, *instances)
    row_says(browser, "Waiting for a worker")
    browser.evaluate("window.isOld = true")
    browser.call("Page.reload")
    browser.wait_for(f"!window.isOld && {LIVE}")
    row_says(browser, "Waiting for a worker")
    assert browser.complaints == []


def test_events_are_whole_however_the_network_cuts_them(site, browser) -> None:
    browser.open(site.url)
    browser.wait_for(LIVE)
    names = browser.evaluate("""
    (async () => {
      const api = await import("/static/api.js");
      const parts = ["event: a\\nda", "ta: 1\\n", "\\n: ping\\n\\neve", "nt: b\\ndata: \u00e9\\n\\n"];
      window.fetch = async () => new Response(new ReadableStream({
        start(controller) {
          for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
          controller.close();
        },
      }));
      const seen = [];
      for await (const event of api.events("/x")) seen.push(event.name + event.data);
      return seen.join();
    })()
    """)
    assert names == "a1,b\u00e9"


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_scripts_only_ever_set_text(path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", path.read_text()
    )


def test_the_template_has_no_inline_script_or_style_and_nothing_from_elsewhere() -> None:
    html = (WEB / "templates" / "page.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|javascript:|https?://|\|\s*safe", html)
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL) == [""]


def test_peers_and_strangers_are_shown_and_a_node_is_asked(site, browser) -> None:
    book = ContactBook(open_database(site.settings))
    book.note(Caller(calling="<b>EVE</b>", called="X", address="192.0.2.9"), HOSTILE)
    book.flush()
    browser.open(site.url)
    browser.wait_for(LIVE)
    browser.evaluate("document.querySelector('#peers-section summary').click()")
    browser.wait_for("document.getElementById('peers').innerText.includes('PLANNER')")
    for said in ("<b>EVE</b>", "192.0.2.9", "has not connected yet", "Anybody on this machine may connect"):
        assert said in browser.text()
    browser.evaluate("document.querySelector('.peer button').click()")
    browser.wait_for("document.getElementById('peers').innerText.includes('could not be reached')")
    assert browser.evaluate("document.images.length") == 1
    assert browser.complaints == []


def test_what_was_not_routed_says_why_and_can_be_contoured(site, browser, instances) -> None:
    browser.open(site.url)
    browser.wait_for(LIVE)
    received = [site.inbox.receive(data, sender="TPS", source="dicom") for data in instances]
    rules = site.settings.data_dir / "rules.yaml"
    rules.write_text("rules: [{name: heads, when: {body_part: HEAD}}]")
    ruled = ServiceSettings(data_dir=site.settings.data_dir, rules=rules)
    Jobs(ruled, open_database(ruled)).take_up(received[0].series_instance_uid)
    row_says(browser, "Not routed")
    row_says(browser, "heads: Body Part Examined is not HEAD.")
    browser.evaluate(f"{ROW}.querySelector('.actions button').click()")
    row_says(browser, "Waiting for a worker")
    assert browser.complaints == []
