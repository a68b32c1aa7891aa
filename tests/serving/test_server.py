"""Real servers: starting, errors of the command, signals, connections that are slow or end early."""

import json
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException

import pytest

from tests.conftest import EXAMPLES
from tests.marks import needs_signals
from tests.serving.server_process import ServerProcess, form, read_all

CAT = (EXAMPLES / "cat.jpg").read_bytes()
HEAD = b"POST /predictions/fruit HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(CAT)


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "levit", "serve", "--port", "0", *map(str, arguments)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.fixture
def own_server(fruit, tmp_path):
    with ServerProcess(f"fruit={fruit}", "--drain", "0", cache=tmp_path) as process:
        yield process


def test_the_address_and_the_models_are_printed_when_they_are_ready(server):
    assert server.description["models"] == ["fruit", "again"]
    assert server.description["url"] == f"http://127.0.0.1:{server.port}"
    assert server.request("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "levit: missing.onnx: no such file\n"),
        (["a=-", "a=-"], "levit: two models are called 'a': give each a unique name: NAME=MODEL\n"),
        (["--timeout", "0"], "levit: --timeout is 0: give a finite number above 0\n"),
        (["--max-body", "nan"], "levit: --max-body is nan: give a finite number above 0\n"),
        (["--max-body", "1e305"], "levit: --max-body is 1e+305: give a finite number above 0\n"),
        (["--max-body", "0"], "levit: --max-body is 0: give a finite number above 0\n"),
        (["--cors", "a.example"], "levit: --cors is 'a.example': give SCHEME://HOST or SCHEME://HOST:PORT, such as "),
        (["--api-keys", "missing.txt"], "levit: missing.txt cannot be read (No such file or directory)\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_of_the_command_is_one_line(arguments, message):
    result = command(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_port_that_is_in_use_and_a_host_of_no_machine_are_one_line(server):
    for host, port, option in (("127.0.0.1", server.port, "--port"), ("192.0.2.1", 0, "--host")):  # RFC 5737
        result = command("--host", host, "--port", port)
        assert (result.returncode, result.stdout) == (2, "")
        message = rf"levit: cannot listen on {host}:{port} \([^()]+\): give another {option}\n"
        assert re.fullmatch(message, result.stderr), result.stderr


@needs_signals
def test_sigterm_finishes_the_accepted_requests_and_exits_with_0(own_server):
    """Requests of several connections while the signal comes: each gets a prediction, a refusal, or no connection."""

    def send_until_refused(_: int) -> list[int]:
        statuses = []
        with closing(HTTPConnection(own_server.host, own_server.port, timeout=600)) as connection:
            while not statuses or statuses[-1] == 200:
                try:
                    connection.request("POST", "/predictions/fruit", CAT)
                    response = connection.getresponse()
                    response.read()  # before the connection takes another request
                except (HTTPException, OSError):  # closed between two requests, or not accepted any more
                    break
                statuses.append(response.status)
                if len(statuses) == 3:
                    ready.release()
        return statuses

    ready = threading.Semaphore(0)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(send_until_refused, index) for index in range(4)]
        for _ in running:
            assert ready.acquire(timeout=600)
        code, errors = own_server.stop()
        statuses = [status for future in running for status in future.result()]
    assert (code, errors) == (0, "")
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 12


@needs_signals
def test_sigterm_loses_no_request_that_is_being_computed(own_server):
    body, headers = form((f"{index}.jpg", CAT) for index in range(200))
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(own_server.request, "POST", "/predictions/fruit", body, headers)
        while b"levit_queue_images 0.0" in own_server.request("GET", "/metrics").body:
            assert not sent.done()  # which ends the loop at the latest
        assert own_server.stop() == (0, "")
        response = sent.result()
    predictions = json.loads(response.body)["predictions"]
    assert (response.status, len(predictions)) == (200, 200)
    assert {prediction["labels"][0]["name"] for prediction in predictions} == {predictions[0]["labels"][0]["name"]}


@needs_signals
def test_a_half_sent_body_does_not_delay_the_end(own_server):
    with own_server.connect() as connection:
        connection.sendall(HEAD + CAT[:100])
        assert own_server.request("GET", "/healthz").status == 200  # the head was read before
        assert own_server.stop() == (0, "")
        assert read_all(connection).startswith(b"HTTP/1.1 503 ")


@needs_signals
def test_ctrl_c_ends_with_0(own_server):
    assert own_server.stop(signal.SIGINT) == (0, "")


def test_connections_that_end_early_leave_nothing_behind(server):
    for content in (b"", b"POST /pre", HEAD, HEAD + CAT[:1000], HEAD + CAT):
        with server.connect() as connection:
            connection.sendall(content)
    expected = {"levit_requests_in_progress 1.0", "levit_queue_images 0.0"}  # the request for them itself
    for _ in range(100_000):  # until the server has noticed the end of each connection
        metrics = server.request("GET", "/metrics").body.decode().splitlines()
        if expected <= set(metrics):
            break
    assert expected <= set(metrics), [line for line in metrics if "progress" in line or "queue_images" in line]


def test_the_limit_of_a_body_is_in_megabytes(fruit, tmp_path):
    with ServerProcess(f"fruit={fruit}", "--drain", "0", "--max-body", "0.002", cache=tmp_path) as process:
        above = process.request("POST", "/predictions/fruit", bytes(2001))
        below = process.request("POST", "/predictions/fruit", bytes(2000))
    assert (above.status, above.json) == (413, {"error": "the body is larger than the limit of 0.002 MB"})
    assert below.status == 400  # read, and no image


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_more_connections_than_the_usual_limit_of_open_files_are_accepted(fruit, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))  # the server inherits it
    try:
        process = ServerProcess(f"fruit={fruit}", "--drain", "0", cache=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with process, ExitStack() as idle:
        for _ in range(300):
            idle.enter_context(process.connect())
        assert process.request("POST", "/predictions/fruit", CAT).status == 200


def test_head_leaves_the_connection_open_for_the_next_request(server):
    with closing(HTTPConnection(server.host, server.port, timeout=600)) as connection:
        for method in ("HEAD", "GET", "HEAD"):
            connection.request(method, "/readyz")
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (200, method == "GET")


def test_what_is_not_http_is_an_error_as_json(server):
    with server.connect() as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        response = read_all(connection)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert json.loads(response.rpartition(b"\r\n\r\n")[2]) == {"error": "not a valid HTTP request"}


def test_requests_on_one_connection_have_their_responses_in_order(server):
    with server.connect() as connection:
        close = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        healthy = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(HEAD + CAT + healthy + HEAD + CAT + healthy + close + CAT)
        response = read_all(connection)
    assert response.count(b"HTTP/1.1 200 OK") == 5
    assert re.findall(rb'"(labels|status)"', response) == [b"labels", b"status"] * 2 + [b"labels"]


def test_a_refusal_before_the_body_leaves_the_connection_open(server):
    missing = HEAD.replace(b"/fruit", b"/missing")
    with server.connect() as connection:
        connection.sendall(missing)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")
        connection.sendall(CAT + HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + CAT)
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK")


@needs_signals
def test_a_service_for_other_machines_without_keys_warns(fruit, tmp_path):
    with ServerProcess(fruit, "--host", "0.0.0.0", "--drain", "0", cache=tmp_path) as process:
        code, errors = process.stop()
    assert code == 0
    assert errors == "levit: everyone who reaches 0.0.0.0 can use this service: --api-keys FILE restricts it\n"


def test_a_key_from_the_environment_is_needed(fruit, tmp_path):
    environment = {"LEVIT_API_KEY": "correct horse"}
    with ServerProcess(fruit, "--drain", "0", cache=tmp_path, environment=environment) as process:
        assert process.request("POST", "/predictions/fruit", CAT).status == 401
        assert process.request("POST", "/predictions/fruit", CAT, {"X-API-Key": "correct horse"}).status == 200


def test_the_program_of_the_documentation_prints_a_label_for_each_photo(server):
    photos = [str(EXAMPLES / "cat.jpg"), str(EXAMPLES / "espresso.jpg"), __file__]
    command = [sys.executable, EXAMPLES / "serve_client.py", f"{server.host}:{server.port}", *photos]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == photos
    assert "%)" in lines[0]
    assert "not an image" in lines[2]
