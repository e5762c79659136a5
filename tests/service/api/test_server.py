"""The real server: slow clients are cut, large bodies cost no memory, stopping does not wait for streams."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

MIB = 2**20
FORM_HEAD = b'--B\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
UPLOAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=B\r\n"


def is_cut(connection: socket.socket, within_s: float) -> bool:
    connection.settimeout(within_s)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_half_open_requests_do_not_keep_others_out(server) -> None:
    connections = [server.connect() for _ in range(120)]
    for number, connection in enumerate(connections):
        connection.sendall(b"" if number % 2 else b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
    assert all(is_cut(connection, within_s=30) for connection in connections)


def test_a_later_request_on_a_connection_has_the_same_deadline(server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += connection.recv(65536)
        connection.sendall(b"GET /hea")
        assert is_cut(connection, within_s=30)


def test_a_body_that_trickles_is_cut(server) -> None:
    with server.connect() as connection:
        connection.sendall(UPLOAD + b"Content-Length: 100000\r\n\r\n" + FORM_HEAD)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - started < 60:
                connection.sendall(b"x")
                time.sleep(0.1)


def test_a_body_that_keeps_its_pace_is_not_cut(server) -> None:
    end = b"\r\n--B--\r\n"
    chunk, count = bytes(160 * 1024), 15
    length = len(FORM_HEAD) + count * len(chunk) + len(end)
    with server.connect() as connection:
        connection.sendall(UPLOAD + f"Content-Length: {length}\r\n\r\n".encode() + FORM_HEAD)
        for _ in range(count):
            time.sleep(0.3)
            connection.sendall(chunk)
        connection.sendall(end)
        answer = b""
        while b"no-dicom" not in answer:  # headers and body may come apart
            data = connection.recv(65536)
            assert data, f"cut after {answer!r}"
            answer += data


@pytest.fixture
def large_result(server, server_worker, write_series) -> bytes:
    """A request for an answer of 32 MiB, more than the sockets hold."""
    files = [("file", ("x", data)) for data in write_series(seed="large")]
    job = httpx.post(f"{server.url}/api/v1/jobs", files=files, timeout=60).json()
    server_worker.rtstruct_bytes = 32 * MIB
    if job["state"] != "done":
        server_worker.run(job["id"])
    return f"GET {job['links']['self']}/rtstruct HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def test_a_client_that_takes_its_answer_slowly_gets_it_all(server, large_result) -> None:
    got = 0
    with server.connect() as connection:
        connection.sendall(large_result)
        while got < 32 * MIB:
            data = connection.recv(MIB)
            assert data, "cut"
            got += len(data)
            time.sleep(len(data) / (8 * MIB))


def test_a_client_that_does_not_take_its_answer_is_cut(server, large_result) -> None:
    with server.connect() as connection:
        connection.sendall(large_result)
        time.sleep(5)
        got = 0
        try:
            while data := connection.recv(MIB):
                got += len(data)
        except ConnectionError:
            pass
    assert got < 32 * MIB


def test_a_json_body_has_a_limit_whether_declared_or_not(server) -> None:
    url, kind = f"{server.url}/api/v1/jobs", {"Content-Type": "application/json"}
    answer = httpx.post(url, content=bytes(MIB), headers=kind, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")

    def endless():
        while True:
            yield bytes(65536)

    before = server.peak_bytes()
    try:
        assert httpx.post(url, content=endless(), headers=kind, timeout=60).status_code == 413
    except httpx.TransportError:
        pass  # the server answered and hung up while the client was still writing
    assert server.peak_bytes() - before < 16 * MIB


def test_an_upload_over_the_limit_is_refused_before_it_is_sent(server) -> None:
    with server.connect() as connection:
        connection.sendall(UPLOAD + b"Content-Length: 3000000000\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_large_upload_costs_no_memory(server) -> None:
    chunk, count = os.urandom(MIB), 300

    def body():
        yield FORM_HEAD
        for _ in range(count):
            yield chunk
        yield b"\r\n--B--\r\n"

    before = server.peak_bytes()
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = httpx.post(f"{server.url}/api/v1/jobs", content=body(), headers=kind, timeout=120)
    assert (answer.status_code, answer.json()["code"]) == (422, "too-large")
    assert server.peak_bytes() - before < 24 * MIB


@pytest.mark.parametrize("tail", [b"", b"\r\n--B", b"\r\n--B\r\n\r\n\r\n"])
def test_an_unfinished_form_is_malformed(server, tail) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = httpx.post(
        f"{server.url}/api/v1/jobs", content=FORM_HEAD + b"x" + tail, headers=kind, timeout=60
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-form")


def test_stopping_ends_streams_at_once(settings, free_port) -> None:
    environment = os.environ | settings.model_copy(update={"api_port": free_port}).environment()
    code = "from service import app, settings; app.run_api(settings.ServiceSettings())"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    url = f"http://127.0.0.1:{free_port}"
    for _ in range(600):
        try:
            httpx.get(f"{url}/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    with httpx.stream("GET", f"{url}/api/v1/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: ready"
        started = time.monotonic()
        process.terminate()
        list(lines)
    printed, _ = process.communicate(timeout=60)
    assert time.monotonic() - started < 4
    assert printed == b""
    assert process.returncode in {0, -signal.SIGTERM}
