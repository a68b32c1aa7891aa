"""Requests of the Open Inference Protocol: fields that are null, and numbers beyond every limit."""

import json

import pytest

from levit.serving.errors import RequestError
from levit.serving.inference_requests import RequestedOutput, parse_inference

IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 3]}


def parse(values: object, max_images: int = 9):
    return parse_inference(json.dumps(values).encode(), None, max_images=max_images)


def test_a_field_that_is_null_is_one_that_is_absent():
    nothing = {"parameters": None}
    flags = {"parameters": {"binary_data": None, "classification": None}}
    outputs = [{"name": "logits"} | nothing, {"name": "scores"} | flags]
    parameters = {"timeout": None, "binary_data_output": None}
    parsed = parse({"id": None, "inputs": [IMAGE | nothing], "outputs": outputs, "parameters": parameters})
    assert parsed.outputs == (RequestedOutput("logits"), RequestedOutput("scores"))
    assert (parsed.identifier, parsed.timeout) == (None, None)
    assert parse({"inputs": [IMAGE], "outputs": None, "parameters": None}).outputs == parsed.outputs
    with pytest.raises(RequestError, match="input 'image' has no data"):
        parse({"inputs": [IMAGE | {"data": None}]})


@pytest.mark.parametrize("timeout", [10**400, 2**64, -1, True, 0.5, "1"], ids=lambda value: str(value)[:8])
def test_a_timeout_is_a_whole_number_of_64_bits(timeout):
    with pytest.raises(RequestError, match="timeout must be a whole number of microseconds"):
        parse({"inputs": [IMAGE], "parameters": {"timeout": timeout}})


def test_a_timeout_may_be_as_large_as_64_bits():
    assert parse({"inputs": [IMAGE], "parameters": {"timeout": 2**64 - 1}}).timeout > 1e13


@pytest.mark.parametrize(
    "tensor",
    [
        IMAGE | {"shape": [2, 5], "data": [""] * 10},
        IMAGE | {"shape": [2**31 - 1] * 8},
        PIXELS | {"shape": [10, 1, 1, 3]},
    ],
    ids=["as they are", "by the shape alone", "pixels"],
)
def test_more_images_than_the_service_takes_are_refused(tensor):
    with pytest.raises(RequestError, match="images are more than the service takes at once, 9") as refusal:
        parse({"inputs": [tensor]})
    assert refusal.value.status == 413


def test_many_requested_outputs_are_refused_before_all_are_read():
    with pytest.raises(RequestError, match="an output is requested twice"):
        parse({"inputs": [IMAGE], "outputs": [{"name": "logits"}] * 3 + [7]})
