"""Damaged requests to `levit serve`: images, forms, JSON, tensors, and what schemathesis makes of the OpenAPI."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from levit.runtime.model_info import describe
from service_process import Server, levit_server
from serving_tools import python_with

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CONTENTS = [file.read_bytes() for file in sorted(EXAMPLES.glob("*.jpg"))]
PREDICTIONS, EXPLANATIONS = "/predictions/default", "/explanations/default?method=cam"
INFERENCE = "/v2/models/default/infer"
EXAMPLES_PER_ROUTE = 100  # of schemathesis

# All its checks but two: one counts the statuses 503 and 504 as failures, which are described (500 is not), the other
# does not know that a class is given either by name or by index. Its timeouts would be shorter than a millisecond.
UNUSED_CHECKS = "not_a_server_error,positive_data_acceptance"
SETTINGS = '[parameters]\n"path.model" = "default"\n"query.timeout" = 30\n'


class Request(NamedTuple):
    """POST request."""

    path: str
    headers: dict[str, str]
    content: bytes


def seeds() -> list[Request]:
    """Valid requests, which are damaged."""
    text = base64.b64encode(CONTENTS[0][:3_000]).decode()
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n' + CONTENTS[1] + b"\r\n--x--\r\n"
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    inference = {"inputs": [tensor], "outputs": [{"name": "scores", "parameters": {"classification": 2}}]}
    as_json = {"Content-Type": "application/json"}
    return [
        *(Request(PREDICTIONS, {"Content-Type": "image/jpeg"}, content) for content in CONTENTS),
        Request(PREDICTIONS, {"Content-Type": "multipart/form-data; boundary=x"}, form),
        Request(PREDICTIONS, as_json, json.dumps({"images": [text, text], "top_k": 2}).encode()),
        Request(EXPLANATIONS, {"Content-Type": "image/jpeg"}, CONTENTS[0]),
        Request(INFERENCE, as_json, json.dumps(inference).encode()),
        _binary_tensor(),
    ]


def _binary_tensor() -> Request:
    """Normalized values behind the JSON."""
    height, width = describe(None)[0].architecture.image_height_width
    values = bytes(4 * 3 * height * width)
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, height, width]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(values)}}]}).encode()
    return Request(INFERENCE, {"Inference-Header-Content-Length": str(len(head))}, head + values)


def damaged_requests(count: int) -> Iterator[Request]:
    """Requests with up to eight other bytes, of which a fifth are cut off."""
    generator = random.Random(0)  # noqa: S311 (no secret)
    valid = seeds()
    for _ in range(count):
        request = generator.choice(valid)
        damaged = bytearray(request.content)
        for _ in range(generator.randrange(1, 9)):
            damaged[generator.randrange(min(len(damaged), 4_000))] = generator.randrange(256)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(damaged)) :]
        yield request._replace(content=bytes(damaged))


def run_mutations(count: int) -> dict[str, Any]:
    """Damaged requests: each has a response, whose status is never 500, and whose error is one line of JSON."""
    statuses: Counter[str] = Counter()
    with levit_server() as server:
        connection = server.connect()
        for request in damaged_requests(count):
            status, body = _post(connection, request)
            is_described = status == 200 or list(json.loads(body)) == ["error"]
            statuses[str(status) if is_described else f"{status} without a description"] += 1
        gauges = server.gauges()
    return {"responses by status": dict(statuses), "images in the queue at the end": gauges["levit_queue_images"]}


def _post(connection: HTTPConnection, request: Request) -> tuple[int, bytes]:
    connection.request("POST", request.path, request.content, request.headers)
    response = connection.getresponse()
    return response.status, response.read()


def run_schema(examples: int = EXAMPLES_PER_ROUTE) -> dict[str, Any]:
    """Requests that schemathesis makes from the OpenAPI: what the service does must be what its description says."""
    python = python_with("schemathesis", is_shared=False)
    with levit_server() as server:
        output = _schemathesis(python, server, examples)
        gauges = server.gauges()
    summary = re.search(r"=+ SUMMARY =+(.*)", output, re.DOTALL)
    lines = [line.strip() for line in (summary[1] if summary else output[-2_000:]).splitlines()]
    statuses = {
        name.partition("status=")[2].strip('"}'): value for name, value in gauges.items() if "requests_total" in name
    }
    return {
        "requests": [line for line in lines if "generated" in line or "❌" in line] if summary else lines,
        "requests by status": statuses,
        "images in the queue at the end": gauges["levit_queue_images"],
    }


def _schemathesis(python: str, server: Server, examples: int) -> str:
    with TemporaryDirectory() as folder:
        settings = Path(folder) / "schemathesis.toml"
        settings.write_text(SETTINGS, encoding="utf-8")
        command = [str(Path(python).parent / "st"), "--config-file", str(settings)]
        source = ["run", f"{server.address}/openapi.json", "--seed", "1", "--max-examples", str(examples)]
        options = ["--request-timeout", "60", "--exclude-checks", UNUSED_CHECKS, "--no-color"]
        run = subprocess.run([*command, *source, *options], capture_output=True, text=True, check=False, cwd=folder)
    return run.stdout + run.stderr
