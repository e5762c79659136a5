"""The API's description is true: requests made from it get the answers it promises, and never a 500."""

import json

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app


@schemathesis.serializer("multipart/related")
def related(_context, value):
    """A body of one part for STOW-RS, whatever the part holds."""
    part = value if isinstance(value, bytes) else str(value).encode()
    return b"--B\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n--B--\r\n"


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/v1/events"  # a stream that does not end by itself
LOCAL = {"Host": "127.0.0.1"}
WAIT_S = 120  # a busy machine is not a hanging server


@pytest.fixture
def document(ask_shared):
    return ask_shared("GET", "/api/v1/openapi.json").json()


@pytest.fixture
def operations(ask, series_zip, worker):
    """The API of a system that has a finished job and a waiting one."""
    job = ask.upload(series_zip).json()
    worker.run(job["id"])
    ask("POST", f"/api/v1/jobs/{job['id']}/rerun", json={"seed": 1})
    loaded = schemathesis.openapi.from_asgi("/api/v1/openapi.json", ask.app, headers=LOCAL)
    found = [each.ok() for each in loaded.exclude(path=ENDLESS).get_all_operations()]
    assert len(found) > 25
    return found


def requests_made_from(operations, examples):
    made = 0

    def run(operation):
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def ask(case):
            nonlocal made
            made += 1
            case.call_and_validate(checks=CHECKS, headers=LOCAL, timeout=WAIT_S)

        ask()

    for operation in operations:
        run(operation)
    return made


def test_requests_made_from_the_description_get_what_it_promises(operations) -> None:
    assert requests_made_from(operations, examples=3) > 80


@pytest.mark.slow
def test_ten_thousand_requests(operations) -> None:
    assert requests_made_from(operations, examples=400) >= 8000


def test_every_operation_has_a_name_of_its_own_and_tells_of_problems(document) -> None:
    found = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in found]
    assert len(names) == len(set(names)) > 25
    assert all("Problem" in json.dumps(each["responses"]["default"]) for each in found)
    assert "HTTPValidationError" not in json.dumps(document)


def test_the_application_describes_itself_without_a_database(settings) -> None:
    assert create_app(settings).openapi()["openapi"].startswith("3.1")
