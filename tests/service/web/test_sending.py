"""The way in: a folder or a zip, chosen or dropped."""

import base64
import io
import zipfile

from playwright.sync_api import expect

DROP = """
(files) => {
  const entry = (file) => ({ isFile: true, isDirectory: false, file: (resolve) => resolve(file) });
  const folder = (some) => {
    const left = [some.slice(0, 2), some.slice(2), []];
    return { isDirectory: true, createReader: () => ({ readEntries: (resolve) => resolve(left.shift()) }) };
  };
  const made = files.map((text) => new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "ZZPHIMARK.dcm"));
  const transfer = { types: ["Files"], files: [], items: [{ webkitGetAsEntry: () => folder(made.map(entry)) }] };
  const event = new Event("drop", { bubbles: true, cancelable: true });
  Object.defineProperty(event, "dataTransfer", { value: transfer });
  document.body.dispatchEvent(event);
}
"""


def zip_of(files: list[bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, data in enumerate(files):
            archive.writestr(f"folder/{number}.dcm", data)
    return packed.getvalue()


def test_a_dropped_folder_is_sent_with_all_that_lies_in_it(site, page, instances) -> None:
    page.goto(site.url)
    expect(page.locator("#connection")).to_have_text("live")
    page.evaluate(DROP, [base64.b64encode(data).decode() for data in instances])
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
