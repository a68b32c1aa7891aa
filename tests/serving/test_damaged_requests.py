"""Damaged images, forms, JSON and tensors: each has a response, which is a prediction or one line of text."""

import base64
import json
import random

import numpy as np

from tests.serving.conftest import png
from tests.serving.requests import metric, request
from tests.serving.server_process import form

RED = png(255, 0, 0)
AS_JSON = {"Content-Type": "application/json"}
PATHS = ("/predictions/colors", "/explanations/colors", "/v2/models/colors/infer")


def valid_requests():
    text = base64.b64encode(RED).decode()
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}]
    values = np.zeros((1, 3, 16, 16), np.float32).tobytes()
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 16, 16]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(values)}}]}).encode()
    predictions, explanations, inference = PATHS
    return [
        (predictions, RED, {}),
        (f"{predictions}?top_k=2&timeout=600", RED, {"Content-Type": "image/png"}),
        (predictions, *form([("red.png", RED), ("again.png", RED)])),
        (predictions, json.dumps({"images": [text, text], "top_k": 2}).encode(), AS_JSON),
        (explanations, RED, {}),
        (inference, json.dumps({"inputs": inputs, "outputs": [{"name": "scores"}]}).encode(), AS_JSON),
        (inference, head + values, {"Inference-Header-Content-Length": str(len(head))}),
    ]


def damage(content: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(generator.randrange(1, 9)):
        damaged[generator.randrange(min(len(damaged), 400))] = generator.randrange(256)
    if generator.random() < 0.2:
        del damaged[generator.randrange(len(damaged)) :]
    return bytes(damaged)


def test_no_damaged_request_is_an_error_of_the_program_or_in_a_log(run, capfd, caplog):
    async def test(running):
        generator = random.Random(0)
        valid = valid_requests()
        statuses = {(await request(running.application, "POST", *item)).status for item in valid}
        assert statuses == {200}
        for number in range(210):
            path, content, headers = valid[number % len(valid)]
            response = await request(running.application, "POST", path, damage(content, generator), headers)
            assert response.status in (200, 400, 413, 422), response.body
            assert response.status == 200 or list(response.json) == ["error"]
        assert metric(running.service, "levit_queue_images") == 0
        assert metric(running.service, "levit_requests_in_progress") == 0

    run(test)
    assert capfd.readouterr().err == ""
    assert caplog.records == []  # which pytest keeps from standard error
