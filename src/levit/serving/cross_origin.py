"""Requests of pages of other origins (CORS): the headers that allow them, and refused preflight requests as JSON."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from levit.serving.errors import error_content
from levit.serving.security import SECURITY_HEADERS


class CrossOriginMiddleware(CORSMiddleware):
    """CORS whose preflight responses have the form of all others: errors are JSON, with the security headers."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Respond to the request by which a browser asks what another origin may send."""
        response = super().preflight_response(request_headers)
        if response.status_code >= 400:
            reason = bytes(response.body).decode()
            kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
            response = Response(error_content(reason), response.status_code, kept, "application/json")
        for name, value in SECURITY_HEADERS:
            response.headers[name.decode()] = value.decode()
        return response
