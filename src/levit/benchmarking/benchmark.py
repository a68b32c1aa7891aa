"""How fast models are on this machine: throughput, latency, start, memory, and the share of what is possible."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from levit.benchmarking.machine import describe_machine
from levit.benchmarking.workers import Answer, Contender, take_turns
from levit.checkpoints.cache import VARIABLE
from levit.errors import ConfigError
from levit.spec.architecture import Architecture
from levit.spec.blocks import count_flops


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured of one model in one engine at one batch size.

    Attributes:
        model: its name.
        engine, precision: what computed it, and in what.
        batch_size: images in each batch.
        images_per_second: while there is always a next batch.
        latency_p50, latency_p95: seconds from giving one batch to its answer, while nothing else is computed.
        first_start, start: seconds from starting Python to the first answer, with nothing cached and with the
            compiled model in the cache.
        peak_memory: of the process in bytes; None where the system does not count it.
        peak_share: multiply-adds a second as a share of those in large matrix products of the same precision.
    """

    model: str
    engine: str
    precision: str
    batch_size: int
    images_per_second: float
    latency_p50: float
    latency_p95: float
    first_start: float
    start: float
    peak_memory: int | None
    peak_share: float


@dataclass(frozen=True, kw_only=True)
class SpeedReport:
    """Speeds, and what they were measured on.

    Attributes:
        machine: processor, cores, system, versions.
        peaks: precision -> multiply-adds a second in large matrix products, on all cores, times 1e-9.
        speeds: one for each model, engine, precision and batch size.
    """

    machine: dict[str, str]
    peaks: dict[str, float]
    speeds: tuple[Speed, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return asdict(self)


def measure_speed(
    models: Sequence[str | Path | None] = (None,),
    *,
    batch_sizes: Sequence[int] = (1, 16),
    engines: Sequence[str] = ("auto",),
    precisions: Sequence[str] = ("auto",),
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    on_progress: Callable[[str], None] = lambda _: None,
) -> SpeedReport:
    """Measure every model in every engine and precision, side by side.

    What comes to the same, as "auto" and the engine that it chooses, is measured once. Each has a process of its own;
    rounds alternate between the processes, and medians count. The images are drawn and of the size that the network
    takes, so decoding and resizing are no part of it.

    Args:
        models: what `levit.Classifier` takes as names; None is the embedded model.
        batch_sizes: how many images to compute at once.
        engines: "openvino", "onnxruntime", for checkpoints also "torch", or "auto".
        precisions: "auto", "fp32", "bf16" or "int8".
        threads: how many each may use; None for the cores that this process may use.
        rounds: how often each is measured.
        seconds: for how long in each round, once for throughput and once for latency.
        on_progress: told what is being done.

    Raises:
        ConfigError: a number is less than 1, or there is nothing to measure.
        EngineError: a model cannot be opened in an engine or precision.

    Examples:
        >>> report = measure_speed(batch_sizes=[2], precisions=["fp32"], rounds=1, seconds=0.1)
        >>> report.speeds[0].images_per_second > 1
        True
    """
    _check(models, batch_sizes, engines, precisions, rounds, seconds)
    asked = [None if model is None else str(model) for model in models]
    wanted = [
        (model, {"model": model, "engine": engine, "precision": precision, "threads": threads})
        for model, engine, precision in product(asked, engines, precisions)
    ]
    with ExitStack() as stack:
        caches = stack.enter_context(tempfile.TemporaryDirectory(prefix="levit-benchmark-", ignore_cleanup_errors=True))
        peak = stack.enter_context(Contender("peak", [sys.executable, "-P", "-m", "levit.benchmarking.peak"]))
        contenders: list[Contender] = []
        first_starts: list[float] = []
        names: dict[str | None, str] = {}  # of the models, by what was asked for
        seen: set[tuple[str | None, str, str]] = set()
        for number, (model, options) in enumerate(wanted):
            name = f"{model or 'the embedded model'} in {options['engine']}, {options['precision']}"
            on_progress(f"starting {name}")
            cache = {VARIABLE: str(Path(caches) / str(number))}  # its own: nothing in it the first time
            with Contender(name, _command(options), cache) as first:
                key = (model, first.greeting["engine"], first.greeting["precision"])
            if key in seen:  # a quantized file is int8 whatever is asked for
                continue
            seen.add(key)
            names[model] = first.greeting["name"]
            first_starts.append(first.start_seconds)
            contenders.append(stack.enter_context(Contender(name, _command(options), cache)))
        on_progress(f"measuring {len(contenders)} side by side, {rounds} rounds")
        needed = sorted({one.greeting["precision"] for one in contenders} & {"fp32", "bf16", "int8"})
        peaks = _peaks(peak, needed, threads, rounds)
        requests = [{"batch_size": size, "seconds": seconds} for size in batch_sizes]
        answers = take_turns(contenders, requests, rounds)
    shared = {name for name in names.values() if list(names.values()).count(name) > 1}
    shown = {model: str(model or name) if name in shared else name for model, name in names.items()}
    speeds = [
        _speed(contender, shown[contender.greeting["model"]], size, first_start, of_rounds, peaks)
        for contender, first_start in zip(contenders, first_starts, strict=True)
        for size, of_rounds in zip(batch_sizes, answers[contender.name], strict=True)
    ]
    return SpeedReport(machine=describe_machine(), peaks=peaks, speeds=tuple(speeds))


def _check(
    models: Sequence[object],
    batch_sizes: Sequence[int],
    engines: Sequence[str],
    precisions: Sequence[str],
    rounds: int,
    seconds: float,
) -> None:
    if not (models and batch_sizes and engines and precisions):
        raise ConfigError("nothing to measure: give at least one model, batch size, engine and precision")
    if min([*batch_sizes, rounds]) < 1 or seconds <= 0:
        raise ConfigError(f"batch_sizes {list(batch_sizes)}, rounds {rounds}, seconds {seconds}: give positive numbers")
    if len({*models}) < len(models) or len({*engines}) < len(engines) or len({*precisions}) < len(precisions):
        raise ConfigError("models, engines and precisions: name each of them once")


def _command(options: dict[str, Any]) -> list[str]:
    return [sys.executable, "-P", "-m", "levit.benchmarking.model_worker", json.dumps(options)]


def _peaks(peak: Contender, precisions: Sequence[str], threads: int | None, rounds: int) -> dict[str, float]:
    requests = [{"precision": precision, "seconds": 0.5, "threads": threads} for precision in precisions]
    (answers,) = take_turns([peak], requests, rounds).values()
    return {
        precision: statistics.median(answer["peak"] for answer in of_rounds)
        for precision, of_rounds in zip(precisions, answers, strict=True)
    }


def _speed(
    contender: Contender,
    model: str,
    batch_size: int,
    first_start: float,
    answers: Sequence[Answer],
    peaks: dict[str, float],
) -> Speed:
    greeting = contender.greeting
    rate = statistics.median(answer["images_per_second"] for answer in answers)
    flops = count_flops(Architecture.from_dict(greeting["architecture"]))
    return Speed(
        model=model,
        engine=greeting["engine"],
        precision=greeting["precision"],
        batch_size=batch_size,
        images_per_second=rate,
        latency_p50=statistics.median(answer["p50"] for answer in answers),
        latency_p95=statistics.median(answer["p95"] for answer in answers),
        first_start=first_start,
        start=contender.start_seconds,
        peak_memory=answers[-1]["peak_memory"],
        peak_share=rate * flops / (1e9 * peaks[greeting["precision"]]),
    )
