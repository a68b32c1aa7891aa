"""Routes for load balancers and Prometheus: /healthz, /readyz and /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from levit.serving.metrics import CONTENT_TYPE
from levit.serving.openapi import errors
from levit.serving.service import Service


def health_routes(service: Service) -> APIRouter:
    """The routes of health and metrics.

    Args:
        service: the service.
    """
    router = APIRouter(tags=["Health"])

    @router.get("/healthz", summary="Whether the process responds")
    async def healthy() -> dict[str, str]:
        """Always 200 while the process runs."""
        return {"status": "ok"}

    @router.get("/readyz", summary="Whether requests are accepted", responses=errors(503))
    async def ready() -> JSONResponse:
        """200 if requests are accepted; 503 while models are loaded, and after SIGTERM."""
        service.lifecycle.check_ready()
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics() -> Response:
        """Requests, images, durations and queue depth in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    return router
