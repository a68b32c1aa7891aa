"""Routes of predictions: POST /predictions/{model}, and GET /models."""

from __future__ import annotations

import json
import time
from collections.abc import MutableMapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.datastructures import Headers

from levit.runtime.image_results import ImageResult
from levit.serving.bodies import Receive
from levit.serving.errors import as_request_error
from levit.serving.image_work import RequestImage
from levit.serving.prediction_requests import (
    FORM_TYPE,
    JSON_TYPE,
    PredictionRequest,
    check_encoding,
    media_type,
    parse_body,
)
from levit.serving.route_documentation import POST_ERRORS, PREDICTION_BODY, PREDICTION_RESPONSES, errors
from levit.serving.served_model import ServedModel
from levit.serving.service import Service

DEFAULT_TOP_K = 5

_encode = json.JSONEncoder(ensure_ascii=False).encode  # once, because `json.dumps` makes an encoder for each call

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
        content, seconds = await predict(service, request.scope, request.receive, model, top_k=top_k, timeout=timeout)
        return Response(content, media_type="application/json", headers=response_headers(seconds))

    @router.get("/models", summary="List the models", responses=errors(503))
    async def models() -> dict[str, list[dict[str, Any]]]:
        """The models, with their labels, image size and accuracy; 503 until all are loaded."""
        service.lifecycle.check_loaded()
        return {"models": [describe(served) for served in service.models.loaded.values()]}

    return router


async def predict(
    service: Service,
    scope: MutableMapping[str, Any],
    receive: Receive,
    model: str,
    *,
    top_k: int | None = None,
    timeout: float | None = None,
) -> tuple[bytes, float]:
    """Predict the images of a request.

    Args:
        service: the service.
        scope: scope of the request, with its headers; it gets the name of the model for the metrics.
        receive: function that waits for the next part of the request.
        model: name of the model.
        top_k: number of labels of each image; None for that in the body, or the default.
        timeout: seconds until the deadline; None for that of the service.

    Returns:
        Content of the response, JSON, and the seconds since the body was complete.

    Raises:
        LevitError: the request gets no prediction.
    """
    served = service.accept(model, scope)
    headers = Headers(raw=scope["headers"])
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
            rendered = Rendering(service, served, top_k or parsed.top_k or DEFAULT_TOP_K, is_list=parsed.is_list)
            content = await service.compute(served, parsed.images, rendered, deadline, receive)
    return content, time.perf_counter() - read


def response_headers(seconds: float) -> dict[str, str]:
    """Headers of a response with predictions: the time that it took, in milliseconds, and that no cache keeps it."""
    return {"Server-Timing": f"total;dur={1000 * seconds:.2f}", "Cache-Control": "no-store"}


class Rendering:
    """Function from the results of a request to the content of its response; called by a thread.

    Args:
        service: the service, for its metrics.
        served: the model.
        top_k: number of labels of each image.
        is_list: whether the response is a list.
    """

    def __init__(self, service: Service, served: ServedModel, top_k: int, *, is_list: bool) -> None:
        self._service, self._served = service, served
        self._top_k, self._is_list = top_k, is_list

    def __call__(self, results: list[ImageResult]) -> bytes:
        """Content of the response, JSON.

        Raises:
            RequestError: the image of a request without a list has an error, 400.
        """
        errors = sum(result.error is not None for result in results)
        self._service.metrics.count_images(self._served.name, len(results) - errors, errors)
        if not self._is_list and (error := results[0].error) is not None:
            raise as_request_error(error)
        predictions = [self._served.opened.prediction(result).to_dict(self._top_k) for result in results]
        value = {"predictions": predictions} if self._is_list else predictions[0]
        return _encode(value).encode("utf-8", "backslashreplace")


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
