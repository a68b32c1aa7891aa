"""The Open Inference Protocol of a real server, without a client library; `test_triton_client.py` has one."""

import base64
import gzip
import json

import numpy as np
import pytest

import levit
from levit.errors import EngineError
from tests.conftest import EXAMPLES
from tests.serving.requests import Response, metric, request

CAT = (EXAMPLES / "cat.jpg").read_bytes()
TEXT = base64.b64encode(CAT).decode()
IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [TEXT]}
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}
VALUES = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 1, 1], "data": [1, 2, 3]}
PATH = "/v2/models/fruit/infer"


@pytest.fixture(scope="module")
def classify(fruit):
    with levit.Classifier(fruit) as classifier:
        yield classifier


def values(response: Response, name: str) -> np.ndarray:
    """Output of a response, from JSON or from the binary data behind it."""
    assert response.status == 200, response.body
    length = int(response.headers.get("inference-header-content-length", len(response.body)))
    position = length
    for output in json.loads(response.body[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        data, position = response.body[position : position + size], position + size
        if output["name"] == name:
            array = np.frombuffer(data, "<f4") if size else np.float32(output["data"])
            return array.reshape(output["shape"])
    raise KeyError(name)


def test_images_have_bit_for_bit_the_logits_and_scores_of_a_classifier(server, classify):
    prediction = classify(CAT)
    response = server.post(PATH, {"id": "a", "inputs": [IMAGE | {"shape": [2, 1], "data": [[TEXT], [TEXT]]}]})
    assert {name: response.json[name] for name in ("model_name", "model_version", "id")} == {
        "model_name": "fruit", "model_version": "1", "id": "a",
    }  # fmt: skip
    assert np.array_equal(values(response, "logits"), np.stack([prediction.logits] * 2))
    assert np.array_equal(values(response, "scores"), np.stack([prediction.scores] * 2))


def test_pixels_of_any_size_and_normalized_values_are_inputs(server, classify):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), np.uint8)
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}
    logits = values(server.post(PATH, {"inputs": [tensor]}), "logits")
    assert np.array_equal(logits, np.stack([classify(image).logits for image in pixels]))
    normalized = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
    tensor = {"name": "pixel_values", "datatype": "FP32", "shape": [2, 3, 32, 32], "data": normalized.tolist()}
    logits = values(server.post(PATH, {"inputs": [tensor]}), "logits")
    np.testing.assert_allclose(logits, classify.engine.run(normalized), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("listed", [False, True])
def test_binary_data_go_both_ways(server, classify, listed):
    element = len(CAT).to_bytes(4, "little") + CAT
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(element)}}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    if listed:
        request["outputs"] = [{"name": "scores", "parameters": {"binary_data": False}}, {"name": "logits"}]
    header = json.dumps(request).encode()
    response = server.request("POST", PATH, header + element, {"Inference-Header-Content-Length": str(len(header))})
    assert response.headers["content-type"] == "application/octet-stream"
    assert np.array_equal(values(response, "logits")[0], classify(CAT).logits)
    assert np.array_equal(values(response, "scores")[0], classify(CAT).scores)


def test_the_best_classes_are_texts(server, classify):
    request = {"inputs": [IMAGE], "outputs": [{"name": "scores", "parameters": {"classification": 2}}]}
    (output,) = server.post(PATH, request).json["outputs"]
    expected = [f"{label.score:f}:{label.index}:{label.name}" for label in classify(CAT).top(2)]
    assert output == {"name": "scores", "datatype": "BYTES", "shape": [1, 2], "data": expected}


def test_the_server_and_its_models_describe_themselves(server):
    assert server.request("GET", "/v2").json["extensions"] == ["binary_tensor_data", "classification"]
    assert server.request("GET", "/v2/health/live").status == server.request("GET", "/v2/health/ready").status == 200
    model = server.request("GET", "/v2/models/again").json
    assert model == server.request("GET", "/v2/models/again/versions/1").json
    assert [tensor["name"] for tensor in model["inputs"]] == ["image", "pixels", "pixel_values"]
    assert model["outputs"][0] == {"name": "logits", "datatype": "FP32", "shape": [-1, 5]}
    assert server.request("GET", "/v2/models/again/ready").json == {"name": "again", "ready": True}
    assert server.request("GET", "/v2/models/again/versions/2").status == 404
    assert server.request("GET", "/v2/models/cats/ready").status == 404


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"inputs": []}, "inputs must be a list with one of image, pixels, pixel_values"),
        ({"inputs": [IMAGE, IMAGE]}, "inputs must be a list with one of"),
        ({"inputs": [7]}, "an input must be a JSON object"),
        ({"inputs": [IMAGE | {"name": "x"}]}, "there is no input 'x'"),
        ({"inputs": [IMAGE | {"datatype": "FP16"}]}, "input 'image' is of the type BYTES, not FP16"),
        ({"inputs": [IMAGE | {"shape": [2]}]}, "input 'image': the shape [2] does not have 1 values"),
        ({"inputs": [IMAGE | {"shape": [-1]}]}, "input 'image': shape must contain whole numbers"),
        ({"inputs": [IMAGE | {"shape": [0], "data": []}]}, "input 'image' has no image"),
        ({"inputs": [IMAGE | {"shape": []}]}, "input 'image': shape must be a list of 1 to 8 sizes"),
        ({"inputs": [{**IMAGE, "data": [7]}]}, "input 'image': the values of BYTES must be strings in base64"),
        ({"inputs": [{name: IMAGE[name] for name in ("name", "datatype", "shape")}]}, "input 'image' has no data"),
        ({"inputs": [PIXELS | {"shape": [3]}]}, "input 'pixels' has the shape [3]: give one of 4 sizes"),
        ({"inputs": [VALUES | {"shape": [3]}]}, "input 'pixel_values' has the shape [3]: give one of 4 sizes"),
        ({"inputs": [VALUES]}, "input 'pixel_values' has the shape [1, 3, 1, 1], not [N, 3, 32, 32]"),
        ({"inputs": [IMAGE | {"data": ["***"]}]}, "input 'image': a value of BYTES is not base64"),
        ({"inputs": [IMAGE | {"data": [""]}]}, "image[0]: not an image"),
        ({"inputs": [IMAGE | {"parameters": {"binary_data_size": 4}}]}, "input 'image': binary_data_size is 4, and 0"),
        ({"outputs": [{"name": "x"}]}, "there is no output 'x'"),
        ({"outputs": [{"name": "logits"}] * 2}, "an output is requested twice"),
        ({"outputs": [{"name": "logits", "parameters": {"classification": -1}}]}, "output 'logits': classification"),
        ({"parameters": {"timeout": "x"}}, "timeout must be a whole number of microseconds"),
        ({"parameters": {"binary_data_output": 1}}, "binary_data_output must be true or false"),
        ({"id": 7}, "id must be a string"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_request_is_one_line(server, change, error):
    response = server.post(PATH, {"inputs": [IMAGE]} | change)
    assert response.status == 400
    assert response.json["error"].startswith(error)


@pytest.mark.parametrize("values", [[256, 0, 0], [-1, 0, 0], [1.5, 0, 0], ["a", 0, 0], [[1], 2], [10**30, 0, 0], 7])
def test_other_values_than_bytes_are_refused(server, values):
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": values}
    assert server.post(PATH, {"inputs": [tensor]}).status == 400


@pytest.mark.parametrize("length", ["x", "-1", "99999999999999999999", "1000000"])
def test_a_wrong_length_of_the_json_is_refused(server, length):
    headers = {"Inference-Header-Content-Length": length}
    response = server.request("POST", PATH, json.dumps({"inputs": [IMAGE]}).encode(), headers)
    assert response.json == {"error": "Inference-Header-Content-Length is not the length of the JSON in the body"}


def test_a_timeout_of_a_request_is_in_microseconds(server):
    response = server.post(PATH, {"inputs": [IMAGE], "parameters": {"timeout": 1}})
    assert (response.status, response.json) == (504, {"error": "no result within 1e-06 s"})


def test_binary_data_of_no_input_are_refused(server):
    header = json.dumps({"inputs": [IMAGE]}).encode()
    response = server.request("POST", PATH, header + b"more", {"Inference-Header-Content-Length": str(len(header))})
    assert (response.status, response.json) == (400, {"error": "there are binary data that belong to no input"})


@pytest.mark.parametrize(
    ("element", "error"),
    [(b"\x05\0\0", "has no length"), (b"\x05\0\0\0abcd", "is incomplete")],
    ids=["the length is cut", "the content is cut"],
)
def test_an_element_of_binary_data_that_is_cut_is_refused(server, element, error):
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(element)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    response = server.request("POST", PATH, header + element, {"Inference-Header-Content-Length": str(len(header))})
    assert (response.status, response.json) == (400, {"error": f"input 'image': an element of BYTES {error}"})


def test_a_compressed_request_is_refused(server):
    body = json.dumps({"inputs": [IMAGE]}).encode()
    response = server.request("POST", PATH, gzip.compress(body), {"Content-Encoding": "gzip"})
    assert (response.status, response.json) == (415, {"error": "compressed bodies are not supported"})
    assert server.request("POST", PATH, body, {"Content-Encoding": "identity"}).status == 200


def test_a_version_that_a_model_does_not_have_is_counted_with_its_model(run):
    async def test(running):
        response = await request(running.application, "POST", "/v2/models/colors/versions/2/infer")
        assert (response.status, response.json) == (404, {"error": "model 'colors' has no version '2': there is 1"})
        assert metric(running.service, 'levit_requests_total{model="colors",status="404"}') == 1

    run(test)


COLORS = {"name": "pixel_values", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": [0.5] * 768}


def test_a_failure_of_the_engine_is_no_error_of_the_request(run):
    async def test(running):
        def fail(batch):
            raise EngineError("the network cannot be computed")

        running.engine._logits = fail
        body, headers = json.dumps({"inputs": [COLORS]}).encode(), {"Content-Type": "application/json"}
        response = await request(running.application, "POST", "/v2/models/colors/infer", body, headers)
        assert (response.status, response.json) == (500, {"error": "the network cannot be computed"})
        assert "retry-after" not in response.headers

    run(test)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_an_error(run, value):
    async def test(running):
        running.engine._logits = lambda batch: np.full((len(batch), 3), value, np.float32)
        body, headers = json.dumps({"inputs": [COLORS]}).encode(), {"Content-Type": "application/json"}
        response = await request(running.application, "POST", "/v2/models/colors/infer", body, headers)
        error = "the model gives a logit that is not finite for input 'pixel_values'"
        assert (response.status, response.json) == (400, {"error": error})

    run(test)
