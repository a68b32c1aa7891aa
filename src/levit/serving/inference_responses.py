"""Responses of the Open Inference Protocol: JSON, with binary data and class names where they are requested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.exporting.model_repository import VERSION
from levit.runtime.image_results import ImageResult
from levit.serving.binary_tensors import DTYPES, write_elements
from levit.serving.inference_requests import InferenceRequest, RequestedOutput
from levit.serving.json_content import encode_json
from levit.serving.served_model import ServedModel


class InferenceResponse(NamedTuple):
    """Response of the Open Inference Protocol.

    Attributes:
        content: JSON, and the binary data behind it.
        header_length: length of the JSON in bytes; None for a response without binary data.
    """

    content: bytes
    header_length: int | None


def render_inference(
    served: ServedModel, request: InferenceRequest, results: Sequence[ImageResult]
) -> InferenceResponse:
    """Write the response of a request; called by a thread.

    Args:
        served: the model.
        request: the request.
        results: the results of its images, without errors.
    """
    outputs, binary = [], []
    for requested in request.outputs:
        values = _values(served, requested.name, results)
        output, data = _render_output(requested, values, served.artifact.labels)
        outputs.append(output)
        binary.append(data)
    response: dict[str, Any] = {"model_name": served.name, "model_version": VERSION, "outputs": outputs}
    if request.identifier is not None:
        response["id"] = request.identifier
    header = encode_json(response)
    is_binary = any(output.is_binary for output in request.outputs)
    return InferenceResponse(b"".join([header, *binary]), len(header) if is_binary else None)


def _values(served: ServedModel, name: str, results: Sequence[ImageResult]) -> NDArray[np.float32]:
    """Logits or scores, float32 [N, classes]."""
    if name == "logits":
        return np.stack([result.row for result in results])
    return np.stack([served.opened.prediction(result).scores for result in results])


def _render_output(
    requested: RequestedOutput, values: NDArray[np.float32], labels: Sequence[str]
) -> tuple[dict[str, Any], bytes]:
    """Entry of an output in the JSON, and its binary data."""
    content: list[str] | NDArray[np.float32]
    if requested.classes is None:
        content, datatype, shape = values.ravel(), "FP32", list(values.shape)
    else:
        texts = [text for row in values for text in _best_classes(row, labels, requested.classes)]
        content, datatype, shape = texts, "BYTES", [len(values), len(texts) // max(1, len(values))]
    output: dict[str, Any] = {"name": requested.name, "datatype": datatype, "shape": shape}
    if requested.is_binary:
        binary = _binary(content)
        return output | {"parameters": {"binary_data_size": len(binary)}}, binary
    return output | {"data": content if isinstance(content, list) else content.tolist()}, b""


def _binary(content: list[str] | NDArray[np.float32]) -> bytes:
    if isinstance(content, list):
        return write_elements([text.encode("utf-8", "backslashreplace") for text in content])
    return content.astype(DTYPES["FP32"]).tobytes()


def _best_classes(row: NDArray[np.float32], labels: Sequence[str], count: int) -> list[str]:
    """Texts "value:index:label" of the highest values, as Triton writes them."""
    best = np.argsort(-row, kind="stable")[:count]
    return [f"{row[index]:f}:{index}:{labels[index]}" for index in best]
