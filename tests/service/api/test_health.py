"""Monitors hear the truth, and figures carry no identifiers."""

import subprocess
import sys

from sqlalchemy.exc import OperationalError

from service.jobs import Jobs


def test_alive_and_ready(ask) -> None:
    assert ask("GET", "/healthz").json() == {"status": "ok"}
    assert ask("GET", "/readyz").json() == {"status": "ready"}


def test_not_ready_without_space(ask, settings) -> None:
    settings.min_free_bytes = 2**60
    assert (ask("GET", "/readyz").status_code, ask("GET", "/healthz").status_code) == (503, 200)


def test_not_ready_without_database(ask, monkeypatch) -> None:
    def fail(_: Jobs) -> int:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(Jobs, "version", fail)
    answer = ask("GET", "/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")


def test_who_asks_while_the_database_is_away_is_told_to_ask_again(ask, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(Jobs, "list", fail)
    answer = ask("GET", "/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "unavailable",
        "5",
    )


def test_what_nobody_foresaw_is_a_plain_problem(ask, monkeypatch, capsys) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("value ZZPHIMARK")

    monkeypatch.setattr(Jobs, "list", fail)
    answer = ask("GET", "/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    log = capsys.readouterr()
    assert "RuntimeError" in log.out + log.err
    assert "ZZPHIMARK" not in answer.text + log.out + log.err


def test_figures_count_jobs_and_requests_by_route(ask, series_zip) -> None:
    job = ask.upload(series_zip).json()
    ask("GET", job["links"]["self"])
    figures = ask("GET", "/metrics").text
    assert 'penumbra_jobs{state="queued"} 1.0' in figures
    assert "penumbra_uploaded_instances_total 3.0" in figures
    assert 'route="/api/v1/jobs/{job_id}",status="200"' in figures
    assert job["id"] not in figures
    assert job["series_instance_uid"] not in figures


def test_the_application_runs_without_torch() -> None:
    code = "import sys, service.app; sys.exit('torch' in sys.modules or 'models' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
