"""Metrics of the service in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # times of creation, a line for each counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MODEL_KEY = "levit.model"
"""Entry of the scope of a request with the name of its model."""

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_BATCH_SIZES = (1, 2, 4, 8, 12, 16)


class Metrics:
    """Counters, gauges and histograms; every method may be called by any thread.

    Attributes:
        requests_in_progress: number of requests that have no response yet; changed by the event loop's thread only.

    Examples:
        >>> metrics = Metrics()
        >>> metrics.count_request("cats", 200, 0.003)
        >>> 'levit_requests_total{model="cats",status="200"} 1.0' in metrics.text().decode()
        True
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._requests = Counter(
            "levit_requests", "Requests that have ended; 499: the client disconnected.", ["model", "status"],
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "levit_request_seconds", "Time from the head of a request to its response.", ["model"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._images = Counter(
            "levit_images", "Images with a result or an error.", ["model", "result"], registry=registry
        )
        self._stage_seconds = Histogram(
            "levit_stage_seconds", "Time of each stage: read, queue, decode, explain; compute is per batch.",
            ["model", "stage"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._batch_images = Histogram(
            "levit_batch_images", "Images computed at once.", ["model"], buckets=_BATCH_SIZES, registry=registry
        )
        self.requests_in_progress = 0
        in_progress = Gauge("levit_requests_in_progress", "Requests without a response.", registry=registry)
        in_progress.set_function(lambda: self.requests_in_progress)
        self._queue = Gauge("levit_queue_images", "Images that wait or are being computed.", registry=registry)
        self.ready = Gauge("levit_ready", "1 if requests are accepted, otherwise 0.", registry=registry)
        # The child of each set of labels, which the library would look up under a lock.
        self._request_counter = lru_cache(maxsize=1000)(self._requests.labels)
        self._stage = lru_cache(maxsize=1000)(self._stage_seconds.labels)
        self._request_timer = lru_cache(maxsize=1000)(self._request_seconds.labels)
        self._image_counter = lru_cache(maxsize=1000)(self._images.labels)
        self._batch = lru_cache(maxsize=1000)(self._batch_images.labels)

    def show_queue(self, images: Callable[[], int]) -> None:
        """Let a function give the number of images that wait or are being computed."""
        self._queue.set_function(images)

    def count_request(self, model: str, status: int, seconds: float) -> None:
        """Count a request that has ended.

        Args:
            model: name of a loaded model, or "" for a request that is of none.
            status: status of the response.
            seconds: time from the head of the request to its response.
        """
        self._request_counter(model, str(status)).inc()
        if model:
            self._request_timer(model).observe(seconds)

    def count_images(self, model: str, results: int, errors: int) -> None:
        """Count images that have a result, and images that have an error."""
        if results:
            self._image_counter(model, "ok").inc(results)
        if errors:
            self._image_counter(model, "error").inc(errors)

    def observe_stage(self, model: str, stage: str, seconds: float) -> None:
        """Record the time of a stage of an image: "read", "queue", "decode" or "compute"."""
        self._stage(model, stage).observe(seconds)

    def observe_batch(self, model: str, seconds: float, images: int) -> None:
        """Record the time and the size of a batch."""
        self._stage(model, "compute").observe(seconds)
        self._batch(model).observe(images)

    def text(self) -> bytes:
        """All metrics in the text format."""
        content: bytes = generate_latest(self._registry)
        return content
