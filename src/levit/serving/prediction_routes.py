"""Routes of predictions: POST /predictions/{model}, and GET /models."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from levit.runtime.image_results import ImageResult
from levit.serving.errors import as_request_error
from levit.serving.image_work import RequestImage
from levit.serving.json_content import encode_json
from levit.serving.openapi import POST_ERRORS, PREDICTION_BODY, PREDICTION_RESPONSES, errors
from levit.serving.prediction_requests import (
    FORM_TYPE,
    JSON_TYPE,
    PredictionRequest,
    check_encoding,
    media_type,
    parse_body,
)
from levit.serving.served_model import ServedModel
from levit.serving.service import Service

DEFAULT_TOP_K = 5

ModelName = Annotated[str, Path(description="Name of the model; `default` is also the first one.")]
TopK = Annotated[int | None, Query(ge=1, description="Number of labels of each image; default: 5.")]
Timeout = Annotated[float | None, Query(gt=0, description="Seconds after which the request ends with 504.")]


def prediction_routes(service: Service) -> APIRouter:
    """The routes of predictions.

    Args:
        service: the service.
    """
    router = APIRouter(tags=["Predictions"])

    @router.post(
        "/predictions/{model}",
        summary="Classify one image or several",
        response_class=Response,
        openapi_extra=PREDICTION_BODY,
        responses=PREDICTION_RESPONSES | POST_ERRORS,
    )
    async def classify(request: Request, model: ModelName, top_k: TopK = None, timeout: Timeout = None) -> Response:
        """The body is an image itself, a form with one or more files, or JSON with images in base64.

        Of an image alone, the response is the object that `levit predict --json` prints, or an error. Of a form or a
        list, it is a list of such objects, in which an image that cannot be classified has its own error.
        """
        return await _classify(service, request, model, top_k, timeout)

    @router.get("/models", summary="List the models", responses=errors(503))
    async def models() -> dict[str, list[dict[str, Any]]]:
        """The models, with their labels, image size and accuracy; 503 until all are loaded."""
        service.lifecycle.check_loaded()
        return {"models": [describe(served) for served in service.models.loaded.values()]}

    return router


async def _classify(
    service: Service, request: Request, model: str, top_k: int | None, timeout: float | None
) -> Response:
    served = service.accept(model, request.scope)
    headers, receive = request.headers, request.receive
    check_encoding(headers.get("content-encoding", ""))
    content_type = headers.get("content-type", "")
    kind = media_type(content_type)
    deadline, max_images = service.deadline(timeout), service.admission.capacity
    start = time.perf_counter()
    async with service.bodies.read(receive, headers.get("content-length"), deadline) as body:
        read = time.perf_counter()
        service.metrics.observe_stage(served.name, "read", read - start)
        with service.admission.admit(1) as ticket:
            if kind in (FORM_TYPE, JSON_TYPE):
                parse = partial(parse_body, body, content_type, max_images=max_images, check=deadline.check)
                parsed = await service.run("parse", parse, deadline, receive)
                ticket.extend(len(parsed.images) - 1)
            else:
                parsed = PredictionRequest([RequestImage(body)], is_list=False)
            count = top_k or parsed.top_k or DEFAULT_TOP_K
            render = partial(render_predictions, service, served, top_k=count, is_list=parsed.is_list)
            content = await service.compute(served, parsed.images, render, deadline, receive)
    return Response(content, media_type="application/json", headers=response_headers(time.perf_counter() - read))


def response_headers(seconds: float) -> dict[str, str]:
    """Headers of a response with a result: the time that it took, in milliseconds, and that no cache keeps it."""
    return {"Server-Timing": f"total;dur={1000 * seconds:.2f}", "Cache-Control": "no-store"}


def render_predictions(
    service: Service, served: ServedModel, results: list[ImageResult], *, top_k: int, is_list: bool
) -> bytes:
    """Write the content of a response, JSON; called by a thread.

    Args:
        service: the service, for its metrics.
        served: the model.
        results: the results of the images of a request.
        top_k: number of labels of each image.
        is_list: whether the response is a list.

    Raises:
        RequestError: the image of a request without a list has an error, 400.
    """
    errors = sum(result.error is not None for result in results)
    service.metrics.count_images(served.name, len(results) - errors, errors)
    if not is_list and (error := results[0].error) is not None:
        raise as_request_error(error)
    predictions = [served.opened.prediction(result).to_dict(top_k) for result in results]
    return encode_json({"predictions": predictions} if is_list else predictions[0])


def describe(served: ServedModel) -> dict[str, Any]:
    """Description of a loaded model for clients, as values that JSON can store."""
    artifact, engine = served.artifact, served.opened.engine
    height, width = artifact.architecture.image_height_width
    return {
        "name": served.name,
        "source": artifact.source.name,
        "labels": list(artifact.labels),
        "image_size": [height, width],
        "is_multi_label": artifact.is_multi_label,
        "threshold": artifact.rejection.threshold if artifact.rejection else None,
        "top1": artifact.accuracy.top1 if artifact.accuracy else None,
        "engine": engine.name,
        "precision": engine.precision,
    }
