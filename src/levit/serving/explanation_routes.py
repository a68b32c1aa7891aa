"""Route of explanations: POST /explanations/{model}."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from levit.errors import ImageError
from levit.explaining.explain import Explainer
from levit.explaining.methods import method_entry
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from levit.serving.json_content import encode_json
from levit.serving.openapi import POST_ERRORS
from levit.serving.prediction_requests import FORM_TYPE, JSON_TYPE, check_encoding, media_type
from levit.serving.prediction_routes import ModelName, Timeout, response_headers
from levit.serving.served_model import ServedModel
from levit.serving.service import Service

ServedMethod = Literal["occlusion", "cam"]

ClassIndex = Annotated[int | None, Query(ge=0, description="Index of the class; default: the most probable class.")]
ClassName = Annotated[str | None, Query(description="Name of the class, instead of its index.")]
MethodName = Annotated[ServedMethod, Query(description="occlusion: 197 forward passes; cam: two, and few values.")]

_GRID = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")},
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The map: rows of values over the part of the image that the network sees (`view`, in pixels "
        "of the upright image), and the same from 0 to 1 for display (`relative`).",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["label", "width", "height", "view", "values", "relative"],
                    "properties": {"values": _GRID, "relative": _GRID},
                }
            }
        },
    }
}


def explanation_routes(service: Service) -> APIRouter:
    """The route of explanations; one counts as many images as it has forward passes, at most those of the queue.

    Args:
        service: the service.
    """
    router = APIRouter(tags=["Explanations"])
    explainers: dict[str, Explainer] = {}

    @router.post(
        "/explanations/{model}",
        summary="Show which parts of an image the score of a class depends on",
        response_class=Response,
        openapi_extra=_BODY,
        responses=_RESPONSES | POST_ERRORS,
    )
    async def explain(
        request: Request,
        model: ModelName,
        class_index: ClassIndex = None,
        class_name: ClassName = None,
        method: MethodName = "occlusion",
        timeout: Timeout = None,
    ) -> Response:
        """The body is an image; the response is the object that `levit explain --json` prints."""
        served = service.accept(model, request.scope)
        _check_request(request, class_index, class_name, classes=len(served.artifact.labels))
        if served.name not in explainers:
            explainers[served.name] = _explainer(served, service)
        deadline = service.deadline(timeout)
        receive = request.receive
        requested = class_name if class_index is None else class_index
        start = time.perf_counter()
        async with service.bodies.read(receive, request.headers.get("content-length"), deadline) as body:
            read = time.perf_counter()
            service.metrics.observe_stage(served.name, "read", read - start)
            with service.admission.admit(min(method_entry(method).passes, service.options.capacity)):
                render = partial(
                    _render, service, served, explainers[served.name], body, requested, method, deadline, read
                )
                content = await service.run("explain", render, deadline, receive)
        return Response(content, media_type="application/json", headers=response_headers(time.perf_counter() - read))

    return router


def _check_request(request: Request, class_index: int | None, class_name: str | None, *, classes: int) -> None:
    """Raise an error unless the body is an image and at most one class is given, which the model has if it is an index.

    The name of a class is looked up by the explainer.
    """
    check_encoding(request.headers.get("content-encoding", ""))
    if media_type(request.headers.get("content-type", "")) in (FORM_TYPE, JSON_TYPE):
        raise RequestError(415, "an explanation is of one image: send the image itself")
    if class_index is not None and class_name is not None:
        raise RequestError(422, "give class_index or class_name, not both")
    if class_index is not None and class_index >= classes:
        reason = f"class_index is {class_index}, and the model has {classes} classes"
        raise RequestError(422, f"{reason}: indices are 0 to {classes - 1}")


def _explainer(served: ServedModel, service: Service) -> Explainer:
    """Explainer with the network that the service has opened."""
    return Explainer(opened=served.opened, max_pixels=served.max_pixels, max_batches=service.explanation_batches)


def _render(
    service: Service,
    served: ServedModel,
    explainer: Explainer,
    body: bytes,
    requested: str | int | None,
    method: ServedMethod,
    deadline: Deadline,
    since: float,
) -> bytes:
    """Explain an image; called by a thread. Batches after the deadline or a disconnect are left out."""
    metrics, start = service.metrics, time.perf_counter()
    metrics.observe_stage(served.name, "queue", start - since)
    try:
        explanation = explainer(body, class_name=requested, method=method, check=deadline.check)
    except ImageError:
        metrics.count_images(served.name, 0, 1)
        raise
    metrics.count_images(served.name, 1, 0)
    metrics.observe_stage(served.name, "explain", time.perf_counter() - start)
    return encode_json(explanation.to_dict())
