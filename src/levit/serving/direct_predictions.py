"""Predictions of requests whose body is an image itself, without an application between connection and threads."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from levit.exporting.model_repository import NAME_PATTERN
from levit.serving.admission import Ticket
from levit.serving.bodies import Body, too_slow
from levit.serving.deadlines import Deadline
from levit.serving.errors import CLIENT_CLOSED_REQUEST, Headers, error_response, request_error
from levit.serving.image_work import RequestImage
from levit.serving.metrics import MODEL_KEY
from levit.serving.prediction_requests import is_raw_type
from levit.serving.prediction_routes import DEFAULT_TOP_K, render_predictions, response_headers
from levit.serving.security import check_origin
from levit.serving.service import Service

Respond = Callable[[int, Headers, bytes], None]
"""Function that sends the status, the headers and the content of the response."""

_URL = re.compile(rb"(/predictions/(" + NAME_PATTERN.pattern.encode() + rb"))(?:\?(?:top_k=([1-9][0-9]{0,5}))?)?")


class DirectRequest(NamedTuple):
    """Request for the prediction of the image that is its body.

    Attributes:
        path, model: path of the request, and the name of the model in it.
        top_k: number of labels.
        headers: headers of the request, with names in lower case.
        content_length: length of the body, if it is known.
    """

    path: str
    model: str
    top_k: int
    headers: Headers
    content_length: str | None


def find_direct(method: bytes, url: bytes, headers: Headers) -> DirectRequest | None:
    """Return a request that needs no application; None for all others, also those with other parameters or errors.

    Examples:
        >>> find_direct(b"POST", b"/predictions/cats?top_k=3", []).top_k
        3
        >>> find_direct(b"POST", b"/predictions/cats", [(b"content-type", b"application/json")])
    """
    match = _URL.fullmatch(url)
    if match is None or method != b"POST":
        return None
    values = dict(reversed(headers))  # the first of each name
    if b"expect" in values or b"content-encoding" in values:
        return None
    if not is_raw_type(values.get(b"content-type", b"").decode("latin-1")):
        return None
    length = values[b"content-length"].decode("latin-1") if b"content-length" in values else None
    top_k = int(match[3]) if match[3] else DEFAULT_TOP_K
    return DirectRequest(match[1].decode(), match[2].decode(), top_k, headers, length)


class DirectPrediction:
    """Prediction of one request; the thread of the event loop calls it.

    An application takes several times as long for the same steps, most of it for generality: a task, messages, a check
    of each header. A request can be refused as soon as its head has come.

    It takes the place of the cycle of a request in the connections of uvicorn, which use the attributes.

    Args:
        service: the service.
        request: the request.
        respond: function that sends the response.
        keep_alive: whether the connection stays open after it.

    Attributes:
        keep_alive: the argument.
        response_complete: whether the request has ended.
        disconnected, message_event: those of a cycle, without a use here.
    """

    disconnected = False
    message_event = asyncio.Event()

    def __init__(self, service: Service, request: DirectRequest, respond: Respond, *, keep_alive: bool) -> None:
        self._service, self._request, self._send = service, request, respond
        self.keep_alive = keep_alive
        self.response_complete = False
        self._scope: dict[str, str] = {}
        self._start = self._complete = time.perf_counter()
        self._deadline: Deadline = service.deadline()
        self._timer = asyncio.get_running_loop().call_later(self._deadline.remaining, self._expire)
        self._body = Body(service.bodies)
        self._ticket: Ticket | None = None

    def start(self) -> None:
        """Accept the request after its head, or refuse it."""
        self._service.metrics.requests_in_progress += 1
        self._try(self._accept)

    def add(self, part: bytes) -> None:
        """Take a part of the body."""
        if not self.response_complete:
            self._try(self._body.add, part)

    def finish(self) -> None:
        """Compute the image after the end of the body."""
        self._try(self._compute)

    def disconnect(self) -> None:
        """Leave the request, because the connection is lost."""
        if not self.response_complete:
            self.response_complete = True
            self._deadline.abandon()
            self._end(CLIENT_CLOSED_REQUEST)

    def _accept(self) -> None:
        service, request = self._service, self._request
        service.api_keys.check(request.path, request.headers)
        check_origin(request.headers, service.options.origins)
        self._model = service.accept(request.model, self._scope)
        service.bodies.check_length(request.content_length)
        service.lifecycle.add_waiting(self._refuse)

    def _compute(self) -> None:
        service = self._service
        service.lifecycle.remove_waiting(self._refuse)
        self._complete = time.perf_counter()
        service.metrics.observe_stage(self._model.name, "read", self._complete - self._start)
        self._ticket = service.admission.admit(1)
        render = partial(render_predictions, service, self._model, top_k=self._request.top_k, is_list=False)
        images = [RequestImage(self._body.content())]
        service.submit(self._model, images, render, self._deadline).add_done_callback(self._deliver)

    def _deliver(self, future: asyncio.Future[bytes]) -> None:
        error = future.exception()
        if self.response_complete:
            return
        if error is not None:
            self._fail(error)
            return
        content = future.result()
        fields = {"content-type": "application/json", "content-length": str(len(content))}
        fields |= response_headers(time.perf_counter() - self._complete)
        self._respond(200, [(name.encode(), value.encode()) for name, value in fields.items()], content)

    def _expire(self) -> None:
        if self.response_complete:
            return
        self._fail(too_slow() if self._ticket is None else self._deadline.expired())

    def _refuse(self) -> None:
        """Refuse a request whose body is not complete, because the service ends."""
        self._fail(self._service.lifecycle.refusal())

    def _try(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        refusal = request_error(error, "POST", self._request.path)
        self._deadline.abandon()
        self._respond(refusal.status, *error_response(refusal))

    def _respond(self, status: int, headers: Headers, content: bytes) -> None:
        self.response_complete = True
        try:
            self._send(status, headers, content)
        finally:
            self._end(status)

    def _end(self, status: int) -> None:
        """Release what the request holds, and count it."""
        service = self._service
        self._timer.cancel()
        service.lifecycle.remove_waiting(self._refuse)
        self._body.close()
        if self._ticket is not None:
            self._ticket.close()
        service.metrics.requests_in_progress -= 1
        model, seconds = self._scope.get(MODEL_KEY, ""), time.perf_counter() - self._start
        # Counted after the other responses of the same batch.
        asyncio.get_running_loop().call_soon(service.metrics.count_request, model, status, seconds)
