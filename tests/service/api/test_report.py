"""The report over REST holds what reviewers have said by now, is noted when it leaves, and is part of the zip."""

import asyncio
import io
import threading
import zipfile

import httpx
import pytest

from service.audit_chain import events
from service.operation.report import report
from worker.report.pdf import NoPdf, can_make_pdf

JOBS = "/api/v1/jobs"


def give(ask, job, grade, note=""):
    body = {"verdicts": [{"structure": "CTV", "grade": grade, "note": note}]}
    assert ask("PUT", f"{JOBS}/{job}/verdict", json=body).status_code == 200


def test_it_holds_the_verdict_of_now_and_leaves_as_a_file(ask, done):
    give(ask, done, "major", "lower end <b>too low</b>")
    answer = ask("GET", f"{JOBS}/{done}/report.html")
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="penumbra-report-{done[:8]}.html"'
    )
    assert "Doe, Jane" in answer.text and "NOT FOR CLINICAL USE" in answer.text
    assert "lower end &lt;b&gt;too low&lt;/b&gt;" in answer.text and "this machine" in answer.text
    give(ask, done, None)
    assert "too low" not in ask("GET", f"{JOBS}/{done}/report.html").text


@pytest.mark.skipif(not can_make_pdf(), reason="Pango is not installed")
def test_as_pdf_and_in_the_zip(ask, done):
    answer = ask("GET", f"{JOBS}/{done}/report.pdf")
    assert answer.headers["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
    give(ask, done, "minor")
    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{JOBS}/{done}/everything").content))
    name = f"penumbra-{done[:8]}"
    assert archive.read(f"{name}/report.pdf").startswith(b"%PDF-")
    assert b"this machine" in archive.read(f"{name}/report.html")
    with ask.app.state.parts.database.read() as session:
        left = [e.subject for e in events(session) if e.action == "downloaded"]
    assert left == ["report.pdf", "everything"]


def test_without_pango_it_is_said_what_is_missing_and_the_rest_works(ask, done, settings, monkeypatch):
    def missing(_html):
        raise NoPdf

    monkeypatch.setattr("service.report_pdf.pdf_of", missing)
    answer = ask("GET", f"{JOBS}/{done}/report.pdf")
    assert (answer.status_code, answer.json()["code"]) == (501, "no-pdf")
    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{JOBS}/{done}/everything").content))
    names = {name.split("/")[1] for name in archive.namelist()}
    assert "report.html" in names and "report.pdf" not in names
    (settings.jobs_dir / done / "result" / "report.pdf").write_bytes(b"%PDF- of the worker")
    archive = zipfile.ZipFile(io.BytesIO(ask("GET", f"{JOBS}/{done}/everything").content))
    assert archive.read(f"penumbra-{done[:8]}/report.pdf") == b"%PDF- of the worker"


def test_many_who_ask_for_a_pdf_at_once_do_not_stop_the_api(ask, done, monkeypatch):
    """Threads are few: more than those are asked for, none comes to an end, and the API answers all the same."""
    go_on = threading.Event()
    monkeypatch.setattr("service.report_pdf.pdf_of", lambda _: go_on.wait(60) and b"%PDF-")

    async def crowd():
        transport = httpx.ASGITransport(ask.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            paths = ["report.pdf"] * 45 + ["everything"]
            asked = [asyncio.create_task(client.get(f"{JOBS}/{done}/{path}")) for path in paths]
            await asyncio.wait(asked, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            health = asyncio.create_task(client.get("/healthz"))
            await asyncio.wait([health], timeout=20)
            was_answered = health.done()
            go_on.set()
            return was_answered, [*await asyncio.gather(*asked), await health]

    was_answered, answers = asyncio.run(crowd())
    assert was_answered
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and {answer.json()["code"] for answer in refused} == {"busy"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert b"%PDF-" in [answer.content for answer in answers]


def test_a_result_without_a_review_has_no_report_and_no_link_to_one(ask, series_zip, worker):
    job = ask.upload(series_zip).json()["id"]
    worker.run(job)
    assert not {"report", "report_pdf"} & set(ask("GET", f"{JOBS}/{job}").json()["links"])
    for name in ("report.html", "report.pdf"):
        answer = ask("GET", f"{JOBS}/{job}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "no-report")


def test_a_done_job_links_to_its_report(ask, done):
    links = ask("GET", f"{JOBS}/{done}").json()["links"]
    assert links["report"].endswith("/report.html") and links["report_pdf"].endswith("/report.pdf")


@pytest.mark.skipif(not can_make_pdf(), reason="Pango is not installed")
def test_the_command_writes_both_into_the_folder(reviewed_files, tmp_path):
    for name, data in reviewed_files.items():
        (tmp_path / name).write_bytes(data)
    report(tmp_path)
    assert "Doe, Jane" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")
