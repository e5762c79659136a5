"""Work beside a process' main one goes on after failures that pass, and ends the process after any other."""

import threading

import pytest
from sqlalchemy.exc import OperationalError

from service import courier as courier_module
from service import errands
from service.background import start_background
from service.courier import Courier, start_couriers
from service.errands import start_errands
from service.pulling import Pulling
from service.webhook_settings import WebhookSettings

PATIENCE_S = 30


@pytest.mark.parametrize("passing", [OperationalError("", {}, OSError()), ConnectionResetError()])
def test_a_failure_that_passes_is_tried_again(passing):
    stop, again, failures = threading.Event(), threading.Event(), [passing]

    def work():
        if failures:
            raise failures.pop()
        again.set()

    start_background("errand", work, stop, every_s=0.01)
    assert again.wait(PATIENCE_S) and not stop.is_set()
    stop.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("who", ["courier", "pulls"])
def test_a_thread_that_dies_ends_its_process_for_the_supervisor_to_start_again(
    settings, database, tmp_path, monkeypatch, who
):
    stop = threading.Event()

    def broken(_self):
        raise RuntimeError("a defect")

    if who == "courier":
        webhook = WebhookSettings(name="portal", url="http://127.0.0.1:1/", secret_file=tmp_path / "secret")
        monkeypatch.setattr(Courier, "deliver_next", broken)
        monkeypatch.setattr(courier_module, "LOOK_EVERY_S", 0.01)
        start_couriers(settings.model_copy(update={"webhooks": (webhook,)}), database, stop)
    else:
        monkeypatch.setattr(Pulling, "work", broken)
        monkeypatch.setattr(errands, "LOOK_S", 0.01)
        start_errands(settings, database, stop)
    assert stop.wait(PATIENCE_S)
