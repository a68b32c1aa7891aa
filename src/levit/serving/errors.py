"""Errors of requests: a status of HTTP with one line of text."""

from __future__ import annotations

from collections.abc import Mapping

from levit.errors import EngineError, ImageError, LevitError, printable

CLIENT_CLOSED_REQUEST = 499
"""Status in the metrics of a request whose client has disconnected; it is never sent."""


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


def overloaded(reason: str, retry_after: int = 1) -> RequestError:
    """The error of a request that is refused because the queue is full; it may be sent again after some seconds."""
    return RequestError(429, reason, headers={"Retry-After": str(retry_after)})


def too_many_images(images: int, capacity: int) -> RequestError:
    """The error of a request with more images than the service ever takes."""
    return RequestError(413, f"{images} images are more than the service takes at once, {capacity}")


def unavailable(reason: str, retry_after: int = 1) -> RequestError:
    """The error of a request to a service that is loading its models, or ending."""
    return RequestError(503, reason, headers={"Retry-After": str(retry_after)})


def as_request_error(error: LevitError) -> RequestError:
    """The status of an error of the library: 400 for an image, 503 for an engine that was closed, otherwise 422.

    Examples:
        >>> as_request_error(ImageError("not an image", source="cat.jpg")).status
        400
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ImageError):
        return RequestError(400, printable(f"{error.source}: {error.reason}" if error.source else error.reason))
    if isinstance(error, EngineError):
        return unavailable(str(error))
    return RequestError(422, str(error))
