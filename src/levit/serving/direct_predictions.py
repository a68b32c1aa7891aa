"""Predictions of requests whose body is an image itself, without the routing and validation of FastAPI."""

from __future__ import annotations

import re
from functools import partial

from levit.serving.gateway import Application, Receive, Scope, Send
from levit.serving.prediction_requests import is_raw_type
from levit.serving.prediction_routes import predict, response_headers
from levit.serving.served_model import NAME_PATTERN
from levit.serving.service import Service

_PATH = re.compile(f"/predictions/({NAME_PATTERN.pattern})")
_QUERY = re.compile(rb"(?:top_k=([1-9][0-9]{0,5}))?")


class DirectPredictions:
    """The route of predictions for its most common requests; all others are left to FastAPI.

    FastAPI takes much of the processor time around the decoding and the computation of an image to find the route and
    its parameters.

    Args:
        service: the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, scope: Scope) -> Application | None:
        """The application that responds to a request for a prediction of the image that is its body, or None.

        It is None if the request has another parameter than a valid top_k, too.
        """
        path, query = _PATH.fullmatch(scope["path"]), _QUERY.fullmatch(scope["query_string"])
        if scope["method"] != "POST" or path is None or query is None or not is_raw_type(_content_type(scope)):
            return None
        return partial(self._respond, path[1], int(query[1]) if query[1] else None)

    async def _respond(self, model: str, top_k: int | None, scope: Scope, receive: Receive, send: Send) -> None:
        content, seconds = await predict(self._service, scope, receive, model, top_k=top_k)
        fields = {"content-type": "application/json", "content-length": str(len(content)), **response_headers(seconds)}
        headers = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _content_type(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")
