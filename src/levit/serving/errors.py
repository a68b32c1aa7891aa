"""Errors of requests: a status of HTTP with one line of text; their responses, and the log of the program's own."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping

from levit.errors import EngineError, ImageError, LevitError, printable
from levit.logs import get_logger
from levit.runtime.rewritten_graph import MissingOutputError
from levit.serving.json_content import encode_json

CLIENT_CLOSED_REQUEST = 499
"""Status in the metrics of a request whose client has disconnected; it is never sent."""

Headers = list[tuple[bytes, bytes]]


class RequestError(LevitError):
    """Request that gets no result.

    Args:
        status: status of HTTP.
        reason: description of the problem.
        headers: further headers of the response.

    Attributes:
        status, headers: the arguments.
    """

    def __init__(self, status: int, reason: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the arguments where an error is pickled."""
        return type(self), (self.status, self.reason)


class DisconnectedError(RequestError):
    """The client has closed its connection, so that there is no response."""

    def __init__(self) -> None:
        super().__init__(CLIENT_CLOSED_REQUEST, "the client has disconnected")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the arguments, of which there are none."""
        return type(self), ()


def overloaded(reason: str) -> RequestError:
    """The error of a request that is refused because the queue is full; it may be sent again after a second."""
    return RequestError(429, reason, headers={"Retry-After": "1"})


def too_many_images(images: int, capacity: int) -> RequestError:
    """The error of a request with more images than the service ever takes."""
    return RequestError(413, f"{images} images are more than the service takes at once, {capacity}")


def unavailable(reason: str) -> RequestError:
    """The error of a request to a service that is loading its models, or ending."""
    return RequestError(503, reason, headers={"Retry-After": "1"})


def as_request_error(error: LevitError) -> RequestError:
    """The status of an error of the library: 400 for an image, 500 for an engine that fails, otherwise 422.

    Examples:
        >>> as_request_error(ImageError("not an image", source="cat.jpg")).status
        400
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ImageError):
        return RequestError(400, printable(f"{error.source}: {error.reason}" if error.source else error.reason))
    if isinstance(error, EngineError) and not isinstance(error, MissingOutputError):
        return RequestError(500, str(error))
    return RequestError(422, str(error))


def request_error(error: BaseException, method: str, path: str) -> RequestError:
    """The error of a request as its client sees it; one of the program itself is logged, and is only "internal"."""
    if isinstance(error, LevitError):
        return as_request_error(error)
    _log(method, path, error)
    return RequestError(500, "internal error")


def error_content(reason: str) -> bytes:
    """Content of the response with an error, JSON."""
    return encode_json({"error": printable(reason)})


def error_response(error: RequestError) -> tuple[Headers, bytes]:
    """Headers and content of the response with an error."""
    content = error_content(error.reason)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return headers, content


def _log(method: str, path: str, error: BaseException) -> None:
    """Log an error of the program itself: its type and place, and nothing of the request but its path."""
    if os.environ.get("LEVIT_DEBUG", "0") not in ("", "0"):
        text = "".join(traceback.format_exception(error))
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} at {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
    get_logger().error("%s", printable(f"{method} {path}: {text}"))
