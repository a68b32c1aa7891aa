"""Benchmark of models in all engines and precisions, side by side in worker processes."""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from os import PathLike, fspath
from pathlib import Path

from levit.benchmarking.benchmark_report import BenchmarkReport, BenchmarkResult
from levit.benchmarking.machine import describe_machine
from levit.benchmarking.model_worker import start_model_worker
from levit.benchmarking.peak import measure_peaks
from levit.benchmarking.workers import Response, Worker, run_rounds
from levit.checkpoints.cache import CACHE_VARIABLE
from levit.errors import ConfigError
from levit.runtime.model_resolution import find_model_file
from levit.spec.architecture import Architecture
from levit.spec.network import count_flops

_PEAK_SECONDS = 0.5


def benchmark(
    models: str | PathLike[str] | Sequence[str | PathLike[str] | None] | None = None,
    *,
    batch_sizes: Sequence[int] = (1, 16),
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    on_progress: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure throughput, latency, start-up time and memory of every model in every engine and precision.

    Combinations that use the same engine and precision, such as "auto" and the engine that it selects, are measured
    once. Each combination has a separate process; the rounds alternate between the processes, and medians are
    reported. The images are random and have the network's input size: decoding and resizing are not measured.

    Args:
        models: names, files or checkpoints, as in `levit.Classifier`, or one of these; None is the embedded model.
        batch_sizes: images per batch.
        engines: "openvino", "onnxruntime", "native", "torch" (checkpoints only), or "auto".
        precisions: "auto", "fp32", "bf16" or "int8".
        threads: number of threads of each process; None for the cores that this process may use.
        rounds: number of rounds.
        seconds: duration of each measurement; throughput and latency are measured separately in each round.
        on_progress: called with a description of each step before it begins.

    Raises:
        CheckpointError: a model does not exist.
        ConfigError: an argument is empty, repeated or not positive.
        EngineError: a model cannot be opened in an engine or precision.

    Examples:
        >>> report = benchmark(batch_sizes=[2], precisions=["fp32"], rounds=1, seconds=0.1)
        >>> report.results[0].images_per_second > 1
        True
    """
    models = [models] if models is None or isinstance(models, str | PathLike) else models
    _check_lists(models=models, batch_sizes=batch_sizes, engines=engines, precisions=precisions)
    _check_positive(batch_sizes=min(batch_sizes), rounds=rounds, seconds=seconds)
    names = [None if model is None else fspath(model) for model in models]
    for name in names:
        find_model_file(name)  # a missing one is an error before processes start, and a download is not measured
    combinations = list(product(names, engines, precisions))
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="levit-benchmark-", ignore_cleanup_errors=True))
        processes = _start_workers(combinations, threads, Path(cache), stack, on_progress)
        on_progress(f"measuring {len(processes)} side by side, {rounds} rounds")
        in_use = sorted({process.worker.info["precision"] for process in processes})
        peaks = measure_peaks(in_use, rounds=rounds, seconds=_PEAK_SECONDS, threads=threads)
        requests = [{"batch_size": batch_size, "seconds": seconds} for batch_size in batch_sizes]
        responses = run_rounds([process.worker for process in processes], requests, rounds)
    display_names = _display_names(processes)
    results = tuple(
        _summarize(process, display_names[process.model], batch_size, rounds_of_size, peaks)
        for process in processes
        for batch_size, rounds_of_size in zip(batch_sizes, responses[process.worker.name], strict=True)
    )
    return BenchmarkReport(machine=describe_machine(), peaks=peaks, results=results)


@dataclass(frozen=True)
class _ModelProcess:
    """Worker process of one model in one engine and precision; `cold_start` is in seconds."""

    model: str | None
    worker: Worker
    cold_start: float


def _start_workers(
    combinations: Sequence[tuple[str | None, str, str]],
    threads: int | None,
    cache: Path,
    stack: ExitStack,
    on_progress: Callable[[str], None],
) -> list[_ModelProcess]:
    """Start each worker twice, with an empty cache and again with the compiled model in it."""
    processes: dict[tuple[str | None, str, str], _ModelProcess] = {}
    for number, (model, engine, precision) in enumerate(combinations):
        name = f"{model or 'the embedded model'} (engine {engine}, precision {precision})"
        on_progress(f"starting {name}")
        arguments = (name, model, engine, precision, threads, {CACHE_VARIABLE: str(cache / str(number))})
        with start_model_worker(*arguments) as cold:
            key = (model, cold.info["engine"], cold.info["precision"])
        if key not in processes:  # a quantized file, for instance, is int8 in every requested precision
            warm = stack.enter_context(start_model_worker(*arguments))
            processes[key] = _ModelProcess(model, warm, cold.start_seconds)
    return list(processes.values())


def _check_lists(**arguments: Sequence[object]) -> None:
    for name, values in arguments.items():
        if not values:
            raise ConfigError("is empty", source=name, hint="give at least one value")
        if len(set(values)) < len(values):
            raise ConfigError("has a value twice", source=name, hint="give each value once")


def _check_positive(**arguments: float) -> None:
    for name, value in arguments.items():
        if value <= 0:
            raise ConfigError(f"is {value}", source=name, hint="give positive numbers")


def _display_names(processes: Sequence[_ModelProcess]) -> dict[str | None, str]:
    """Map each model to the name in its artifact; or, where several models have that name, to its own path."""
    names: dict[str | None, str] = {process.model: process.worker.info["name"] for process in processes}
    counts = Counter(names.values())
    return {model: name if counts[name] == 1 else model or name for model, name in names.items()}


def _summarize(
    process: _ModelProcess, model: str, batch_size: int, responses: Sequence[Response], peaks: Mapping[str, float]
) -> BenchmarkResult:
    """Take medians of the rounds of one worker at one batch size."""
    info = process.worker.info
    images_per_second, latency_p50, latency_p95 = (
        statistics.median(response[name] for response in responses)
        for name in ("images_per_second", "latency_p50", "latency_p95")
    )
    flops, peak = count_flops(Architecture.from_dict(info["architecture"])), peaks.get(info["precision"])
    return BenchmarkResult(
        model=model,
        engine=info["engine"],
        precision=info["precision"],
        batch_size=batch_size,
        images_per_second=images_per_second,
        latency_p50=latency_p50,
        latency_p95=latency_p95,
        cold_start=process.cold_start,
        warm_start=process.worker.start_seconds,
        peak_memory=responses[-1]["peak_memory"],
        peak_share=None if peak is None else images_per_second * flops / (1e9 * peak),
    )
