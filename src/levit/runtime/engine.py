"""The Engine protocol and `open_engine()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError

Precision = Literal["auto", "fp32", "bf16", "int8"]


@runtime_checkable
class Engine(Protocol):
    """Something that runs a model: the one thing that prediction, evaluation and verification need.

    Attributes:
        name: of the engine, as in `open_engine(engine=…)`.
        precision: that of the arithmetic: fp32, bf16, or int8 where linear layers and convolutions are in int8.
        reason: why it is this engine and this precision, for people.
        metadata: the key-value pairs of the model file.
    """

    name: str
    precision: str
    reason: str
    metadata: Mapping[str, str]

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch.

        Args:
            pixel_values: float32 [B, channels, height, width], normalized.

        Returns:
            float32 [B, classes].
        """
        ...


@runtime_checkable
class ImageEngine(Engine, Protocol):
    """An engine that normalizes images itself, and computes several batches at once."""

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of a few images, as soon as possible: every thread works on one image.

        Args:
            images: uint8 [B, height, width, 3], resized and cropped.

        Returns:
            float32 [B, classes].
        """
        ...

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Logits of one batch among many, with as many images a second as possible; blocks while all are busy.

        Args:
            images: uint8 [B, height, width, 3].
            batch_size: the size of all batches of this stream, but for a smaller last one.

        Returns:
            The future of float32 [B, classes].
        """
        ...


# Engines for ONNX files by name: module, class, the package that they stand on, and what to install where it is
# missing. Loaded when asked for, the first that is installed by "auto": OpenVINO is the fastest in every precision on
# CPUs (docs/speed.md).
ENGINES = {
    "openvino": ("levit.runtime.openvino_engine", "OpenVinoEngine", "openvino", "pip install levit"),
    "onnxruntime": (
        "levit.runtime.onnxruntime_engine",
        "OnnxRuntimeEngine",
        "onnxruntime",
        'pip install "levit[onnxruntime]"',
    ),
}


# Likewise those that open checkpoints.
CHECKPOINT_ENGINES = {
    "torch": ("levit.model.torch_engine", "TorchEngine", "torch", 'pip install "levit[torch]"'),
}


def open_engine(
    model: Path | bytes,
    *,
    engine: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    provider: str | None = None,
    cache_dir: Path | None = None,
) -> Engine:
    """Open an ONNX model in an inference engine.

    Args:
        model: an ONNX file, or its content.
        engine: "openvino", "onnxruntime", or "auto" for the fastest that is installed.
        precision: of the arithmetic; "auto" is int8 where the file is quantized, with bf16 or fp32 in between;
            otherwise bf16 where the processor has it, or else fp32.
        threads: how many to use; None for the cores that the process may use.
        provider: for onnxruntime, where it runs: "cpu", "cuda", or the full name of an execution provider.
        cache_dir: where the engine may keep the compiled model for the next start.

    Raises:
        EngineError: the engine or the precision is unknown, the engine is missing, or cannot open the model.
    """
    if engine in CHECKPOINT_ENGINES:
        raise EngineError(f"engine {engine} opens checkpoints, not ONNX files: use auto, {', '.join(ENGINES)}")
    if engine != "auto" and engine not in ENGINES:
        raise EngineError(f"no engine is called {engine!r}: use auto, {', '.join([*ENGINES, *CHECKPOINT_ENGINES])}")
    check_options(precision, threads)
    if engine == "auto":
        engine = "onnxruntime" if provider is not None else fastest_installed()
    if provider is not None and engine != "onnxruntime":
        raise EngineError(f"provider is an option of onnxruntime, not of {engine}: leave it out, or change the engine")
    options: dict[str, Any] = {} if provider is None else {"provider": provider}
    return find_engine(engine)(model, precision=precision, threads=threads, cache_dir=cache_dir, **options)


def find_engine(name: str) -> Callable[..., Engine]:
    """The class of an engine.

    Raises:
        EngineError: it is not installed.
    """
    module, class_name, _, advice = (ENGINES | CHECKPOINT_ENGINES)[name]
    try:
        found: Callable[..., Engine] = getattr(import_module(module), class_name)
    except ImportError as error:
        raise EngineError(f"engine {name} is not installed ({error}): {advice}") from error
    return found


def check_options(precision: str, threads: int | None) -> None:
    """Raise where an option of every engine is no valid one.

    Raises:
        EngineError: the precision is unknown, or threads is no count.
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise EngineError(f"threads is {threads!r}: give a whole number of at least 1")
    if precision not in get_args(Precision):
        raise EngineError(f"precision is {precision!r}: use one of {', '.join(get_args(Precision))}")


def fastest_installed() -> str:
    """The engine that "auto" means here."""
    for name, (_, _, package, _) in ENGINES.items():
        if find_spec(package) is not None:
            return name
    return next(iter(ENGINES))
