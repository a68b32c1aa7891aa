"""Routes of the Open Inference Protocol, version 2, as KServe and Triton speak it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from levit import __version__
from levit.exporting.model_repository import VERSION
from levit.runtime.image_results import ImageResult
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError, as_request_error
from levit.serving.image_work import RequestImage
from levit.serving.inference_requests import INPUTS, OUTPUTS, InferenceRequest, parse_inference
from levit.serving.inference_responses import InferenceResponse, render_inference
from levit.serving.openapi import HEADER_LENGTH, INFERENCE_BODY, INFERENCE_RESPONSES, POST_ERRORS, errors
from levit.serving.prediction_requests import check_encoding
from levit.serving.prediction_routes import ModelName
from levit.serving.served_model import ServedModel
from levit.serving.service import Service

EXTENSIONS = ["binary_tensor_data", "classification"]

_INFER: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": INFERENCE_BODY,
    "responses": INFERENCE_RESPONSES | POST_ERRORS,
}


def inference_routes(service: Service) -> APIRouter:
    """The routes of the protocol.

    Args:
        service: the service.
    """
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    @router.get("", summary="Describe the server")
    async def server() -> dict[str, Any]:
        """Name, version and extensions."""
        return {"name": "levit", "version": __version__, "extensions": EXTENSIONS}

    @router.get("/health/live", summary="Whether the process responds")
    async def live() -> dict[str, bool]:
        """Always 200 while the process runs."""
        return {"live": True}

    @router.get("/health/ready", summary="Whether requests are accepted", responses=errors(503))
    async def ready() -> dict[str, bool]:
        """200 if requests are accepted, otherwise 503."""
        service.lifecycle.check_ready()
        return {"ready": True}

    _add_descriptions(router, service)

    @router.post("/models/{model}/infer", summary="Compute logits and scores", **_INFER)
    async def infer(request: Request, model: ModelName) -> Response:
        """Compute logits and scores of images.

        The input is `image` (BYTES, encoded images), `pixels` (UINT8, RGB [N, H, W, 3] of any size) or `pixel_values`
        (FP32, normalized [N, 3, H, W]). Outputs are `logits` and `scores`, FP32 [N, classes]; with the parameter
        `classification`, the most probable classes as strings "value:index:label". Binary data as in Triton.
        """
        return await _infer(service, request, model, VERSION)

    @router.post("/models/{model}/versions/{version}/infer", include_in_schema=False)
    async def infer_version(request: Request, model: str, version: str) -> Response:
        """The same of a version."""
        return await _infer(service, request, model, version)

    return router


def _add_descriptions(router: APIRouter, service: Service) -> None:
    @router.get("/models/{model}", summary="Describe a model", responses=errors(404, 503))
    async def metadata(model: ModelName) -> dict[str, Any]:
        """Inputs and outputs of a model."""
        return model_metadata(_find(service, model, VERSION))

    @router.get("/models/{model}/ready", summary="Whether a model accepts requests", responses=errors(404, 503))
    async def model_ready(model: ModelName) -> dict[str, Any]:
        """200 if the model accepts requests, otherwise 503, or 404."""
        return {"name": _find(service, model, VERSION).name, "ready": True}

    @router.get("/models/{model}/versions/{version}", include_in_schema=False)
    async def version_metadata(model: str, version: str) -> dict[str, Any]:
        """The same of a version."""
        return model_metadata(_find(service, model, version))

    @router.get("/models/{model}/versions/{version}/ready", include_in_schema=False)
    async def version_ready(model: str, version: str) -> dict[str, Any]:
        """The same of a version."""
        return {"name": _find(service, model, version).name, "ready": True}


async def _infer(service: Service, request: Request, model: str, version: str) -> Response:
    served = service.accept(model, request.scope)
    _check_version(model, version)
    headers, receive = request.headers, request.receive
    check_encoding(headers.get("content-encoding", ""))
    deadline, start = service.deadline(), time.perf_counter()
    async with service.bodies.read(receive, headers.get("content-length"), deadline) as body:
        service.metrics.observe_stage(served.name, "read", time.perf_counter() - start)
        with service.admission.admit(1) as ticket:
            length = headers.get(HEADER_LENGTH)
            parse = partial(parse_inference, body, length, max_images=service.admission.capacity)
            parsed = await service.run("parse", parse, deadline, receive)
            ticket.extend(len(parsed.tensor.values) - 1)
            if parsed.timeout is not None:
                deadline.shorten(parsed.timeout)
            response = await _compute(service, served, parsed, deadline, request)
    if response.header_length is None:
        return Response(response.content, media_type="application/json")
    extra = {HEADER_LENGTH: str(response.header_length)}
    return Response(response.content, media_type="application/octet-stream", headers=extra)


async def _compute(
    service: Service, served: ServedModel, parsed: InferenceRequest, deadline: Deadline, request: Request
) -> InferenceResponse:
    render = partial(_render, service, served, parsed)
    if parsed.tensor.datatype == "FP32":
        values = np.asarray(parsed.tensor.values)
        return await service.run("infer", lambda: render(_run(service, served, values)), deadline, request.receive)
    images = [RequestImage(value, f"{parsed.tensor.name}[{index}]") for index, value in enumerate(parsed.tensor.values)]
    return await service.compute(served, images, render, deadline, request.receive)


def _render(
    service: Service, served: ServedModel, parsed: InferenceRequest, results: list[ImageResult]
) -> InferenceResponse:
    errors = [result.error for result in results if result.error is not None]
    service.metrics.count_images(served.name, len(results) - len(errors), len(errors))
    if errors:
        raise as_request_error(errors[0])
    return render_inference(served, parsed, results)


def _run(service: Service, served: ServedModel, values: np.ndarray[Any, np.dtype[Any]]) -> list[ImageResult]:
    """Logits of normalized values, float32 [N, 3, H, W]."""
    height, width = served.artifact.architecture.image_height_width
    if values.shape[1:] != (3, height, width):
        shape = list(values.shape)
        raise RequestError(400, f"input 'pixel_values' has the shape {shape}, not [N, 3, {height}, {width}]")
    start = time.perf_counter()
    rows = served.opened.engine.run(values)
    service.metrics.observe_batch(served.name, time.perf_counter() - start, len(values))
    if not np.isfinite(rows).all():
        raise RequestError(400, "the model gives a logit that is not finite for input 'pixel_values'")
    return [ImageResult(f"pixel_values[{index}]", row) for index, row in enumerate(rows)]


def _find(service: Service, model: str, version: str) -> ServedModel:
    """The model of a name and version.

    Raises:
        RequestError: the service is not ready (503), or there is no such model (404).
    """
    service.lifecycle.check_ready()
    _check_version(model, version)
    return service.models.find(model)


def _check_version(model: str, version: str) -> None:
    if version != VERSION:
        raise RequestError(404, f"model {model!r} has no version {version!r}: there is {VERSION}")


def model_metadata(served: ServedModel) -> dict[str, Any]:
    """Description of a model in the protocol; a request has one of the inputs."""
    height, width = served.artifact.architecture.image_height_width
    shapes = {"image": [-1], "pixels": [-1, -1, -1, 3], "pixel_values": [-1, 3, height, width]}
    classes = len(served.artifact.labels)
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": f"levit_{served.opened.engine.name}",
        "inputs": [{"name": name, "datatype": kind, "shape": shapes[name]} for name, kind in INPUTS.items()],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, classes]} for name in OUTPUTS],
    }
