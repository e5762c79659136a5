"""Every change of a job reaches every receiver, signed, in order, through crashes of either side."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import update
from standardwebhooks import Webhook
from typer.testing import CliRunner

from service.cli import app
from service.courier import KEPT_S, Courier
from service.records import JobEventRecord, WebhookRecord
from service.webhook_settings import WebhookSettings
from worker.errors import NotCT
from worker.job_folder import Outcome

SERIES = "1.2.826.0.1.3680043.10.999.7"
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


class Receiver:
    """A real HTTP server; `answers` are given in turn, then 204."""

    def __init__(self):
        self.taken, self.refused, self.answers = [], [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 204
                (receiver.taken if status < 300 else receiver.refused).append((dict(self.headers), body))
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    @property
    def types(self):
        return [json.loads(body)["type"] for _, body in self.taken]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


@pytest.fixture
def webhook(receiver, tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    return WebhookSettings(name="portal", url=receiver.url, secret_file=tmp_path / "secret", timeout_s=5)


@pytest.fixture
def courier(settings, database, webhook):
    """A courier whose receiver is known already."""
    courier = Courier(settings.model_copy(update={"delivery_pauses_s": (0.0,)}), database, webhook)
    courier.deliver_next()
    return courier


def drain(courier):
    while courier.deliver_next():
        pass


def test_every_state_is_announced_once_and_in_order(courier, receiver, receive, jobs, ledger):
    receive()
    job = jobs.submit(SERIES)
    claim = ledger.claim(job.id, "one")
    assert ledger.claim(job.id, "two") is None
    ledger.publish(claim, Outcome("rejected", NotCT("No CT.").as_reason()))
    drain(courier)
    assert receiver.types == ["job.receiving", "job.queued", "job.running", "job.rejected"]
    last = json.loads(receiver.taken[-1][1])["data"]
    assert (last["job_id"], last["series_instance_uid"], last["reason"]["code"]) == (job.id, SERIES, "not-ct")
    jobs.retry(job.id)
    jobs.cancel(job.id)
    drain(courier)
    assert receiver.types[4:] == ["job.queued", "job.cancelled"]


def test_messages_are_signed_so_that_the_usual_library_verifies_them(courier, receiver, receive):
    receive()
    drain(courier)
    headers, body = receiver.taken[0]
    assert Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
    with pytest.raises(Exception, match="[Ss]ignature"):
        Webhook(SECRET).verify(body + b" ", {name.lower(): value for name, value in headers.items()})


def test_no_message_names_the_patient(courier, receiver, receive, jobs):
    receive()
    jobs.submit(SERIES)
    drain(courier)
    assert b"ZZPHIMARK" not in b"".join(body for _, body in receiver.taken)


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_is_not_taken_is_sent_again_before_anything_later(courier, receiver, receive, jobs, status):
    receive()
    jobs.submit(SERIES)
    receiver.answers = [status, status]
    for _ in range(3):
        drain(courier)
    assert receiver.types == ["job.receiving", "job.queued"]
    assert {headers["webhook-id"] for headers, _ in receiver.refused} == {receiver.taken[0][0]["webhook-id"]}


def test_a_receiver_that_was_away_gets_everything_later(courier, receiver, receive, jobs, settings, database):
    away = Courier(
        settings.model_copy(update={"delivery_pauses_s": (0.0,)}),
        database,
        courier._webhook.model_copy(update={"url": "http://127.0.0.1:1/"}),
    )
    receive()
    jobs.submit(SERIES)
    assert not any(away.deliver_next() for _ in range(5))
    drain(courier)
    assert receiver.types == ["job.receiving", "job.queued"]


def test_pauses_grow_and_are_kept(settings, database, webhook, receiver, receive):
    courier = Courier(settings.model_copy(update={"delivery_pauses_s": (60.0,)}), database, webhook)
    courier.deliver_next()
    receiver.answers = [500]
    receive()
    assert not courier.deliver_next() and not courier.deliver_next()
    assert (len(receiver.refused), len(receiver.taken)) == (1, 0)


def test_a_courier_that_died_after_sending_repeats_and_loses_nothing(
    courier, receiver, receive, database, monkeypatch
):
    receive()
    with monkeypatch.context() as broken:
        broken.setattr(Courier, "_note", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            courier.deliver_next()
    assert not courier.deliver_next(), "the lease holds"
    with database.write() as session:
        session.execute(update(WebhookRecord).values(lease_until=time.time() - 1))
    drain(courier)
    assert receiver.types == ["job.receiving", "job.receiving"]
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1


def test_couriers_of_several_hosts_share_the_work(
    settings, database, webhook, receiver, receive, jobs, courier
):
    receive()
    job = jobs.submit(SERIES)
    for _ in range(10):
        jobs.cancel(job.id)
        jobs.retry(job.id)
    others = [Courier(settings, database, webhook) for _ in range(3)]
    threads = [threading.Thread(target=drain, args=(each,)) for each in [courier, *others]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drain(courier)
    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert len(ids) == len(set(ids)) == 22
    assert receiver.types == ["job.receiving", "job.queued"] + 10 * ["job.cancelled", "job.queued"]


def test_only_the_states_asked_for_and_only_from_now_on(settings, database, webhook, receiver, receive, jobs):
    receive()
    wanted = webhook.model_copy(update={"states": ("cancelled",)})
    courier = Courier(settings, database, wanted)
    courier.deliver_next()
    jobs.cancel(jobs.submit(SERIES).id)
    drain(courier)
    assert receiver.types == ["job.cancelled"]


def test_what_nobody_took_for_a_week_is_skipped_and_counted(courier, receiver, receive, jobs, database):
    receive()
    with database.write() as session:
        session.execute(update(JobEventRecord).values(at=time.time() - KEPT_S - 1))
    jobs.submit(SERIES)
    drain(courier)
    assert receiver.types == ["job.queued"]
    with database.read() as session:
        assert session.get_one(WebhookRecord, "portal").skipped == 1


@pytest.fixture
def run(monkeypatch, settings, database, webhook):
    monkeypatch.setenv("PENUMBRA_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PENUMBRA_WEBHOOKS", json.dumps([webhook.model_dump(mode="json")]))
    return lambda *arguments: CliRunner().invoke(app, ["webhooks", *arguments])


def test_the_command_line_tells_and_tries(run, receiver, webhook, receive, courier):
    receive()
    assert "portal" in run("list").stdout
    assert run("test", "portal").stdout == "Taken.\n"
    receiver.answers = [500]
    failed = run("test", "portal")
    assert failed.exit_code == 1
    assert run("test", "nobody").exit_code == 2


def test_a_secret_is_made_for_ones_own_eyes(run, tmp_path, webhook):
    made = tmp_path / "new.key"
    assert run("secret", str(made)).exit_code == 0
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(webhook.model_copy(update={"secret_file": made}).secret()) == 32
    assert run("secret", str(made)).exit_code == 1


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_not base64", "whsec_QUJD"])
def test_a_weak_secret_is_no_secret(courier, receiver, receive, webhook, text):
    webhook.secret_file.write_text(text)
    receive()
    assert not courier.deliver_next()
    assert receiver.taken == []


def refuse_to_send(*_request, **_options):
    raise ValueError("a header that cannot be written")


def test_a_secret_that_cannot_be_read_and_a_request_that_failed_are_told_apart(
    courier, receiver, receive, webhook, database, monkeypatch
):
    receive()
    monkeypatch.setattr("service.courier.httpx.post", refuse_to_send)
    assert not courier.deliver_next()
    assert last_error(database) == "No answer (ValueError)."
    monkeypatch.undo()
    webhook.secret_file.unlink()
    assert not courier.deliver_next()
    assert last_error(database) == "The secret cannot be read (FileNotFoundError); nothing was sent."
    assert receiver.taken == []


def last_error(database):
    with database.read() as session:
        return session.get(WebhookRecord, "portal").last_error
