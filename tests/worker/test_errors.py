"""Every reason has a stable code, a cause and a remedy."""

import inspect
import pickle

from worker import errors
from worker.delivery import DeliveryError

CODES = {
    "no-dicom", "not-ct", "too-few-slices", "mixed-series", "missing-slices", "tilted", "duplicate-position",
    "unreadable-instance", "missing-attribute", "transfer-syntax", "no-pelvis", "unsafe-archive", "too-large",
    "implausible-result", "round-trip", "bundle-invalid", "worker-lost", "cancelled",
}  # fmt: skip


def reasons():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    return [c for c in classes if issubclass(c, errors.PenumbraError)]


def test_codes_are_unique_and_those_promised():
    codes = [c.code for c in reasons()]
    assert len(codes) == len(set(codes))
    assert CODES <= set(codes)


def test_every_reason_explains_itself_and_survives_a_process_boundary():
    for kind in reasons():
        reason = kind("What happened.", remedy="What to do.")
        assert str(reason) == "What happened. What to do."
        assert reason.as_reason() == {"code": kind.code, "message": "What happened.", "remedy": "What to do."}
        assert kind().message and kind().remedy
        copy = pickle.loads(pickle.dumps(reason))
        assert copy.as_reason() == reason.as_reason()
    copy = pickle.loads(pickle.dumps(DeliveryError("No.", status=0xA700)))
    assert copy.status == 0xA700
