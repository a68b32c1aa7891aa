"""Responses of requests that get no result, and the log of errors of the program itself."""

from __future__ import annotations

import json
import os
import traceback

from levit.errors import LevitError, printable
from levit.logs import get_logger
from levit.serving.errors import RequestError, as_request_error

Headers = list[tuple[bytes, bytes]]


def error_content(reason: str) -> bytes:
    """Content of the response with an error, JSON."""
    return json.dumps({"error": printable(reason)}, ensure_ascii=False).encode()


def error_response(error: RequestError) -> tuple[Headers, bytes]:
    """Headers and content of the response with an error."""
    content = error_content(error.reason)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return headers, content


def request_error(error: BaseException, method: str, path: str) -> RequestError:
    """The error of a request as its client sees it; one of the program itself is logged, and is only "internal"."""
    if isinstance(error, LevitError):
        return as_request_error(error)
    _log(method, path, error)
    return RequestError(500, "internal error")


def _log(method: str, path: str, error: BaseException) -> None:
    """Log an error of the program itself: its type and place, and nothing of the request but its path."""
    if os.environ.get("LEVIT_DEBUG", "0") not in ("", "0"):
        text = "".join(traceback.format_exception(error))
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} at {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
    get_logger().error("%s", printable(f"{method} {path}: {text}"))
