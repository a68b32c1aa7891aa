"""Signals of a real server that drains for a day: only what ends the draining ends the process."""

import json
import signal

import pytest

from tests.conftest import EXAMPLES
from tests.marks import needs_signals
from tests.serving.server_process import ServerProcess, read_all

pytestmark = needs_signals

CAT = (EXAMPLES / "cat.jpg").read_bytes()
ATTEMPTS = 100_000  # requests for a state that comes at once


@pytest.fixture
def patient_server(fruit, tmp_path):
    with ServerProcess(f"fruit={fruit}", "--drain", "86400", "--timeout", "86400", cache=tmp_path) as process:
        yield process


def send_half(server: ServerProcess, connection, path: str, body: bytes) -> None:
    """Send a request without the second half of its body, and wait until the server has accepted it."""
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    connection.sendall(body[: len(body) // 2])
    for _ in range(ATTEMPTS):
        if b"levit_requests_in_progress 2.0" in server.request("GET", "/metrics").body:
            return
    pytest.fail("the request was not received")


def drain(server: ServerProcess) -> None:
    """Send SIGTERM, and wait until the server has noticed it."""
    server.process.send_signal(signal.SIGTERM)
    for _ in range(ATTEMPTS):
        if server.request("GET", "/readyz").status == 503:
            return
    pytest.fail("the server is ready after SIGTERM")


def test_ctrl_c_leaves_out_the_draining(patient_server):
    assert patient_server.stop(signal.SIGINT) == (0, "")


def test_after_sigterm_new_requests_are_refused_and_accepted_ones_are_finished(patient_server):
    with patient_server.connect() as accepted:
        send_half(patient_server, accepted, "/predictions/fruit", CAT)
        drain(patient_server)
        refused = patient_server.request("POST", "/predictions/fruit", CAT)
        assert (refused.status, refused.json) == (503, {"error": "the service is draining"})
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert patient_server.request("GET", "/healthz").status == 200
        accepted.sendall(CAT[len(CAT) // 2 :])
        response = read_all(accepted)
    assert response.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(response.partition(b"\r\n\r\n")[2])["labels"]
    assert patient_server.process.poll() is None


@pytest.mark.parametrize(
    ("path", "second"),
    [("/predictions/fruit", signal.SIGTERM), ("/v2/models/fruit/infer", signal.SIGINT)],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_second_signal_ends_the_server_without_waiting_for_requests(patient_server, path, second):
    with patient_server.connect() as connection:
        send_half(patient_server, connection, path, b"{}")
        drain(patient_server)
        assert patient_server.stop(second) == (0, "")
