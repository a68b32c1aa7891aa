"""The application: all routes, with errors as JSON."""

from __future__ import annotations

import logging
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from levit import __version__
from levit.errors import LevitError
from levit.serving.cross_origin import CrossOriginMiddleware
from levit.serving.documentation_page import documentation_routes
from levit.serving.errors import RequestError, as_request_error, error_content
from levit.serving.explanation_routes import explanation_routes
from levit.serving.gateway import Application, Gateway
from levit.serving.health_routes import health_routes
from levit.serving.inference_routes import inference_routes
from levit.serving.openapi import HEADER_LENGTH, complete_description
from levit.serving.page_routes import page_routes
from levit.serving.prediction_routes import prediction_routes
from levit.serving.service import Service

_EXPOSED_HEADERS = ("Server-Timing", "Retry-After", HEADER_LENGTH)


class _Routes(FastAPI):
    """Routes that describe themselves with API keys and all errors."""

    has_keys = False

    def openapi(self) -> dict[str, Any]:
        """The description, in the form of OpenAPI."""
        if self.openapi_schema is None:
            complete_description(super().openapi(), has_keys=self.has_keys)
        return super().openapi()


def create_application(service: Service) -> Application:
    """Create the application of a service, for any ASGI server.

    Args:
        service: the service; it accepts requests after `service.load_in_thread()`.
    """
    # The parser of forms would log each damaged one.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    routes = _Routes(title="levit", version=__version__, docs_url=None, redoc_url=None)
    routes.has_keys = bool(service.options.api_keys)
    routers = [prediction_routes(service), explanation_routes(service), inference_routes(service)]
    for router in (*routers, health_routes(service), page_routes(), documentation_routes(routes)):
        routes.include_router(router)
    routes.add_exception_handler(LevitError, _levit_error)
    routes.add_exception_handler(RequestValidationError, _invalid_parameter)
    routes.add_exception_handler(HTTPException, _http_error)
    routes.add_exception_handler(Exception, _internal_error)
    application: Application = Gateway(routes, service)
    if service.options.origins:
        application = CrossOriginMiddleware(
            application,
            allow_origins=service.options.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=_EXPOSED_HEADERS,
        )
    return application


def _error_response(error: RequestError) -> Response:
    return Response(error_content(error.reason), error.status, error.headers, "application/json")


def _levit_error(request: Request, error: Exception) -> Response:
    return _error_response(as_request_error(cast(LevitError, error)))


def _invalid_parameter(request: Request, error: Exception) -> Response:
    first = cast(RequestValidationError, error).errors()[0]
    name, reason = str(first["loc"][-1]), str(first["msg"])
    return _error_response(RequestError(422, f"{name}: {reason[:1].lower()}{reason[1:]}"))


def _http_error(request: Request, error: Exception) -> Response:
    """Of the router: no such path, or another method."""
    error = cast(HTTPException, error)
    reason = {404: f"not found: {request.url.path}", 405: f"method {request.method} not allowed"}
    text = reason.get(error.status_code, str(error.detail))
    return _error_response(RequestError(error.status_code, text, headers=error.headers))


def _internal_error(request: Request, error: Exception) -> Response:
    """An error of the program itself, which the gateway logs."""
    return _error_response(RequestError(500, "internal error"))
