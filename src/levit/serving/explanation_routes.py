"""Route of explanations: POST /explanations/{model}."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from levit.explaining.explain import Explainer
from levit.explaining.methods import method_entry
from levit.serving.deadlines import Deadline
from levit.serving.errors import RequestError
from levit.serving.prediction_requests import FORM_TYPE, JSON_TYPE, check_encoding, media_type
from levit.serving.prediction_routes import ModelName, Timeout
from levit.serving.route_documentation import POST_ERRORS
from levit.serving.served_model import ServedModel
from levit.serving.service import Service

ServedMethod = Literal["occlusion", "cam"]

ClassIndex = Annotated[int | None, Query(ge=0, description="Index of the class; default: the most probable class.")]
ClassName = Annotated[str | None, Query(description="Name of the class, instead of its index.")]
MethodName = Annotated[ServedMethod, Query(description="occlusion: 197 forward passes; cam: one, and few values.")]

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
        async with service.bodies.read(receive, request.headers.get("content-length"), deadline) as body:
            start = time.perf_counter()
            with service.admission.admit(min(method_entry(method).passes, service.options.capacity)):
                explained = _Explaining(explainers[served.name], body, requested, method, deadline)
                content = await service.run("explain", explained, deadline, receive)
        headers = {
            "Server-Timing": f"total;dur={1000 * (time.perf_counter() - start):.2f}",
            "Cache-Control": "no-store",
        }
        return Response(content, media_type="application/json", headers=headers)

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


class _Explaining:
    """Function that explains an image and renders the content of the response; called by a thread."""

    def __init__(
        self, explainer: Explainer, body: bytes, requested: str | int | None, method: ServedMethod, deadline: Deadline
    ) -> None:
        self._explainer, self._body = explainer, body
        self._requested, self._method, self._deadline = requested, method, deadline

    def __call__(self) -> bytes:
        """Content of the response, JSON; batches after the deadline or a disconnect are left out."""
        explanation = self._explainer(
            self._body, class_name=self._requested, method=self._method, check=self._deadline.check
        )
        return json.dumps(explanation.to_dict(), ensure_ascii=False).encode("utf-8", "backslashreplace")
