"""Results of a benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Measurements of one model in one engine at one batch size: medians of the rounds.

    Attributes:
        model: name of the model.
        engine: name of the engine, as in `levit.Classifier`.
        precision: precision of the arithmetic, "fp32", "bf16" or "int8".
        batch_size: images per batch.
        images_per_second: throughput with several batches in flight.
        latency_p50: median seconds from submitting a batch to its logits, while nothing else is computed.
        latency_p95: 95th percentile of the same, in seconds.
        cold_start: seconds from starting Python to the first prediction, with empty caches.
        warm_start: the same with the compiled model in the cache.
        peak_memory: peak resident memory of the process in bytes; None where the system does not report it.
        peak_share: fraction of the machine's peak, `images_per_second` times the multiply-adds per image divided by
            the rate of large matrix products in the same precision; about 0 to 1. None without OpenVINO, which
            computes these products.
    """

    model: str
    engine: str
    precision: str
    batch_size: int
    images_per_second: float
    latency_p50: float
    latency_p95: float
    cold_start: float
    warm_start: float
    peak_memory: int | None
    peak_share: float | None


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """Results of all models, and the machine on which they were measured.

    Attributes:
        machine: processor, cores, capabilities, system and versions, as text.
        peaks: for each precision, 1e9 multiply-adds per second in large matrix products on all cores; empty without
            OpenVINO.
        results: one for each model, engine, precision and batch size.
    """

    machine: dict[str, str]
    peaks: dict[str, float]
    results: tuple[BenchmarkResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can represent."""
        return asdict(self)
