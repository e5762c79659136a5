"""The way in: a folder or a zip, chosen or dropped."""

import io
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect


def drop(page: Page, *paths: Path) -> None:
    """Files and folders of this machine, dragged over the page and let go, by Chromium itself."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 400, "y": 400, "data": data})
    expect(page.locator("#drop-here")).to_be_visible()
    session.send("Input.dispatchDragEvent", {"type": "drop", "x": 400, "y": 400, "data": data})
    expect(page.locator("#drop-here")).to_be_hidden()


def zip_of(files: list[bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"folder/{number}.dcm", data)
    return packed.getvalue()


def test_a_dropped_folder_is_sent_with_all_that_lies_in_it(site, page, instances, tmp_path) -> None:
    """More files than a browser lists at once, and the series a folder further down."""
    deeper = tmp_path / "ZZPHIMARK" / "planning CT" / "1"
    deeper.mkdir(parents=True)
    for number, data in enumerate(instances):
        (deeper / f"ZZPHIMARK-{number}").write_bytes(data)
    for number in range(110):
        (tmp_path / "ZZPHIMARK" / f"{number}.txt").write_text("no image")
    page.goto(site.url)
    expect(page.locator("#connection")).to_have_text("live")
    drop(page, tmp_path / "ZZPHIMARK")
    expect(page.get_by_text("3 instances received, 110 other files left out.")).to_be_visible()
    expect(page.locator("#jobs tr")).to_contain_text("3 slices · uploaded")


def test_a_dropped_zip_is_sent(site, page, instances, tmp_path) -> None:
    (tmp_path / "ZZPHIMARK.zip").write_bytes(zip_of(instances))
    page.goto(site.url)
    expect(page.locator("#connection")).to_have_text("live")
    drop(page, tmp_path / "ZZPHIMARK.zip")
    expect(page.get_by_text("3 instances received.")).to_be_visible()
    expect(page.locator("#jobs tr")).to_contain_text("3 slices · uploaded")


def test_a_zip_is_sent_and_its_job_shown_however_old(site, page, instances) -> None:
    page.goto(site.url)
    archive = {"name": "ZZPHIMARK.zip", "mimeType": "application/zip", "buffer": zip_of(instances)}
    page.locator("#files").set_input_files(archive)
    expect(page.get_by_text("3 instances received.")).to_be_visible()
    page.locator("#files").set_input_files(archive)
    expect(page.get_by_text("All had been received before.")).to_be_visible()
    page.get_by_role("button", name="Show job").click()
    expect(page.locator("#jobs tr")).to_have_count(1)
    (job,) = site.jobs.list().jobs
    expect(page.get_by_label("Search")).to_have_value(job.id)
