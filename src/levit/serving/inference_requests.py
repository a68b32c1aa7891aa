"""Requests of the Open Inference Protocol: one input, the requested outputs, parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levit.serving.binary_tensors import Tensor, check_shape, read_binary_tensor, read_tensor
from levit.serving.errors import RequestError, too_many_images
from levit.serving.prediction_requests import load_json

INPUTS = {"image": "BYTES", "pixels": "UINT8", "pixel_values": "FP32"}
"""Inputs of every model with their types; a request has one of them."""

OUTPUTS = ("logits", "scores")

_MICROSECONDS = 1e-6
_TIMEOUT_LIMIT = 2**64  # Triton's is a number of 64 bits


@dataclass(frozen=True)
class RequestedOutput:
    """Output that a request asks for.

    Attributes:
        name: "logits" or "scores".
        is_binary: whether its data follow the JSON.
        classes: number of classes as strings "value:index:label" instead of all values; None for all values.
    """

    name: str
    is_binary: bool = False
    classes: int | None = None


@dataclass(frozen=True)
class InferenceRequest:
    """Request of the Open Inference Protocol.

    Attributes:
        identifier: text that the response repeats, or None.
        tensor: the input.
        outputs: the outputs, at least one.
        timeout: seconds after which the request ends, or None.
    """

    identifier: str | None
    tensor: Tensor
    outputs: tuple[RequestedOutput, ...]
    timeout: float | None


def parse_inference(body: bytes, header_length: str | None, *, max_images: int) -> InferenceRequest:
    """Read a request; called by a thread.

    Args:
        body: JSON, which binary data may follow.
        header_length: value of the header Inference-Header-Content-Length, the length of the JSON; or None.
        max_images: largest number of images.

    Raises:
        RequestError: the request is damaged or incomplete (400), or has too many images (413).
    """
    length = len(body)
    if header_length is not None:
        if not (header_length.isdecimal() and len(header_length) < 12 and int(header_length) <= len(body)):
            raise RequestError(400, "Inference-Header-Content-Length is not the length of the JSON in the body")
        length = int(header_length)
    content = memoryview(body)
    values = _mapping(load_json(content[:length]), "the request")
    parameters = _parameters(values, "parameters")
    identifier = values.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise RequestError(400, "id must be a string")
    return InferenceRequest(
        identifier,
        _read_input(values.get("inputs"), content[length:], max_images),
        _read_outputs(values.get("outputs"), is_binary=_flag(parameters, "binary_data_output", default=False)),
        _timeout(parameters),
    )


def _read_input(inputs: object, binary: memoryview, max_images: int) -> Tensor:
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise RequestError(400, f"inputs must be a list with one of {', '.join(INPUTS)}")
    values = _mapping(inputs[0], "an input")
    name, datatype = values.get("name"), values.get("datatype")
    if not isinstance(name, str) or name not in INPUTS:
        raise RequestError(400, f"there is no input {name!r}: give {', '.join(INPUTS)}")
    if datatype != INPUTS[name]:
        raise RequestError(400, f"input {name!r} is of the type {INPUTS[name]}, not {datatype}")
    shape = check_shape(name, values.get("shape"))
    if (images := _count_images(name, shape)) > max_images:
        raise too_many_images(images, max_images)
    size = _parameters(values, "the parameters of an input").get("binary_data_size")
    if size is None:
        if len(binary):
            raise RequestError(400, "there are binary data that belong to no input")
        if values.get("data") is None:
            raise RequestError(400, f"input {name!r} has no data")
        return read_tensor(name, INPUTS[name], shape, values["data"])
    if size != len(binary) or isinstance(size, bool):
        raise RequestError(400, f"input {name!r}: binary_data_size is {size}, and {len(binary)} bytes follow")
    return read_binary_tensor(name, INPUTS[name], shape, binary)


def _count_images(name: str, shape: tuple[int, ...]) -> int:
    if INPUTS[name] == "BYTES":
        return math.prod(shape)
    if len(shape) != 4:
        raise RequestError(400, f"input {name!r} has the shape {list(shape)}: give one of 4 sizes")
    return shape[0]


def _read_outputs(outputs: object, *, is_binary: bool) -> tuple[RequestedOutput, ...]:
    if outputs is None or outputs == []:
        return tuple(RequestedOutput(name, is_binary) for name in OUTPUTS)
    if not isinstance(outputs, list):
        raise RequestError(400, "outputs must be a list")
    first = outputs[: len(OUTPUTS) + 1]  # of which one is unknown, or requested twice, if there are more
    requested = tuple(_read_output(output, is_binary=is_binary) for output in first)
    if len({output.name for output in requested}) < len(requested):
        raise RequestError(400, "an output is requested twice")
    return requested


def _read_output(output: object, *, is_binary: bool) -> RequestedOutput:
    values = _mapping(output, "an output")
    name = values.get("name")
    if not isinstance(name, str) or name not in OUTPUTS:
        raise RequestError(400, f"there is no output {name!r}: give {' or '.join(OUTPUTS)}")
    parameters = _parameters(values, "the parameters of an output")
    classes = parameters.get("classification")
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 0):
        raise RequestError(400, f"output {name!r}: classification must be a number of classes")
    return RequestedOutput(name, _flag(parameters, "binary_data", default=is_binary), classes or None)


def _timeout(parameters: Mapping[str, Any]) -> float | None:
    """The parameter "timeout" of Triton, in microseconds."""
    timeout = parameters.get("timeout")
    if timeout is None or timeout == 0:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 < timeout < _TIMEOUT_LIMIT:
        raise RequestError(400, "timeout must be a whole number of microseconds")
    return timeout * _MICROSECONDS


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise RequestError(400, f"{name} must be true or false")
    return value


def _parameters(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The field "parameters", which some clients send as null where they have none."""
    parameters = values.get("parameters")
    return {} if parameters is None else _mapping(parameters, name)


def _mapping(values: object, name: str) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise RequestError(400, f"{name} must be a JSON object")
    return values
