import json
import subprocess
import sys

SCRIPT = """
import logging, threading, warnings
import structlog
from service.logs import configure_logging
configure_logging("listener")
log = structlog.get_logger("x")
log.info("association accepted", sender="TPS", patient_name="ZZPHIMARK", job_id="7")
logging.getLogger("kombu").error("broker away")
logging.getLogger("pydicom").error("Invalid value ZZPHIMARK")
logging.getLogger("pynetdicom.events").critical("ZZPHIMARK")
warnings.warn("Invalid value for VR DA: 'ZZPHIMARK'")
try:
    raise ValueError("ZZPHIMARK")
except ValueError:
    logging.getLogger("celery.worker").exception("task failed")
def die():
    raise ValueError("ZZPHIMARK")
thread = threading.Thread(target=die); thread.start(); thread.join()
raise ValueError("ZZPHIMARK")
"""


def test_only_allowed_fields_and_no_exception_text_are_written():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert "ZZPHIMARK" not in done.stderr + done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "association accepted",
        "broker away",
        "task failed",
        "uncaught exception",
        "uncaught exception",
    ]
    assert lines[0]["sender"] == "TPS"
    assert all(line["process"] == "listener" for line in lines)
    assert lines[2]["cause"] == lines[4]["cause"] == "ValueError"
