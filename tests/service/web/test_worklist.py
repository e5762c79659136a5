"""The worklist: it shows jobs as they move, takes files, and runs nothing that came with them."""

import re

from playwright.sync_api import expect
from sqlalchemy import select

from service.jobs import Jobs
from service.records import DeliveryRecord
from service.settings import ServiceSettings
from worker.job_folder import Outcome
from worker.ledger import ProgressReport

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def open_worklist(page, site) -> None:
    page.goto(site.url)
    expect(page.locator("#connection")).to_have_text("live")


def send(page, *files: bytes) -> None:
    page.locator("#files").set_input_files(
        [{"name": "ZZPHIMARK.dcm", "mimeType": "", "buffer": data} for data in files]
    )


def row(page):
    return page.locator("#jobs tr").first


def test_a_job_is_sent_followed_and_offered_for_download(site, page, instances) -> None:
    open_worklist(page, site)
    expect(page.get_by_text("No job yet")).to_contain_text("<i>&AE")
    send(page, *instances, b"no dicom")
    expect(row(page)).to_contain_text("Waiting for a worker")
    expect(page.get_by_text("3 instances received, 1 other file left out")).to_be_visible()

    claim = site.claim(site.jobs.list().jobs[0].id)
    progress = ProgressReport(
        stage="segmenting", structure="Bladder", passes_done=23, passes_total=50, percent=41.5
    )
    site.ledger.renew(claim, progress)
    expect(row(page)).to_contain_text("Contouring: the bladder · pass 23 of 50")
    assert row(page).locator("progress").evaluate("bar => bar.value") == 41.5
    expect(row(page)).to_contain_text(re.compile(r"a few seconds left|about \d+ (s|min) left"))

    site.finish(claim, {"result.json": b"{}", "rtstruct.dcm": b"{}"})
    expect(row(page).get_by_role("button", name="Download the RTSTRUCT")).to_be_visible()
    expect(row(page)).to_contain_text("NOT FOR CLINICAL USE")
    row(page).get_by_role("link", name="Review").click()
    expect(page).to_have_url(f"{site.url}/jobs/{claim.job_id}")
    expect(page.get_by_role("link", name="Worklist")).to_have_attribute("aria-current", "page")


def test_refusals_are_told_in_the_row_and_never_run(site, page, instances) -> None:
    open_worklist(page, site)
    claim = site.claim(site.submit(instances))
    reason = {"code": "missing-slices", "message": f"A gap. {HOSTILE}", "remedy": "Send the series again."}
    site.ledger.publish(claim, Outcome("rejected", reason))
    expect(row(page)).to_contain_text(f"A gap. {HOSTILE}")
    expect(row(page)).to_contain_text("Send the series again.")
    row(page).get_by_role("button", name="Try again").click()
    expect(row(page)).to_contain_text("Waiting for a worker")
    row(page).get_by_role("button", name="Cancel").click()
    expect(row(page)).to_contain_text("Cancelled")
    assert page.locator("img").count() == 1


def test_deliveries_are_told_per_node_and_sent_again(site, page, instances) -> None:
    claim = site.claim(site.submit(instances, sender="PLANNER"))
    site.finish(claim, {"result.json": b"{}", "rtstruct.dcm": b"{}"})
    with site.database.read() as session:
        delivery_id = session.scalars(select(DeliveryRecord.id)).one()
    sending = site.ledger.claim_delivery(delivery_id, "stub")
    site.ledger.undelivered(sending, f"It did not answer. {HOSTILE}")
    open_worklist(page, site)
    expect(row(page)).to_contain_text(
        "PLANNER: not delivered after one attempt, will be tried again. It did not"
    )
    row(page).get_by_role("button", name="to PLANNER again").click()
    expect(row(page)).to_contain_text("PLANNER: waiting to be sent")
    site.ledger.delivered(site.ledger.claim_delivery(delivery_id, "stub"))
    expect(row(page)).to_contain_text("PLANNER: delivered")


def test_a_refused_upload_is_explained(site, page) -> None:
    open_worklist(page, site)
    send(page, b"no dicom")
    expect(page.get_by_text("No DICOM instance was found.")).to_be_visible()


def test_what_was_not_routed_says_why_and_can_be_contoured(site, page, instances) -> None:
    open_worklist(page, site)
    received = [site.inbox.receive(data, sender="TPS", source="dicom") for data in instances]
    rules = site.settings.data_dir / "rules.yaml"
    rules.write_text("rules: [{name: heads, when: {body_part: HEAD}}]")
    ruled = ServiceSettings(data_dir=site.settings.data_dir, rules=rules)
    Jobs(ruled, site.database).take_up(received[0].series_instance_uid)
    expect(row(page)).to_contain_text("Not routed")
    expect(row(page)).to_contain_text("heads: Body Part Examined is not HEAD.")
    row(page).get_by_role("button", name="Contour anyway").click()
    expect(row(page)).to_contain_text("Waiting for a worker")
