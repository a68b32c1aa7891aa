"""The Engine protocol and `open_engine()`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError

Precision = Literal["auto", "fp32", "bf16"]


@runtime_checkable
class Engine(Protocol):
    """Something that runs a model: the one thing that prediction, evaluation and verification need.

    Attributes:
        name: of the engine, as in `open_engine(engine=…)`.
        precision: that of the arithmetic: fp32 or bf16.
        metadata: the key-value pairs of the model file.
    """

    name: str
    precision: str
    metadata: Mapping[str, str]

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch.

        Args:
            pixel_values: float32 [B, channels, height, width], normalised.

        Returns:
            float32 [B, classes].
        """
        ...


# Engines by name: module, class, and what to install where it is missing. Loaded when asked for.
ENGINES = {"openvino": ("levit.runtime.openvino_engine", "OpenVinoEngine", "pip install levit")}


def open_engine(
    model: Path | bytes,
    *,
    engine: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
) -> Engine:
    """Open an ONNX model in an inference engine.

    Args:
        model: an ONNX file, or its content.
        engine: "openvino", or "auto" for the fastest that is installed.
        precision: of the arithmetic; "auto" is bf16 where the processor has it, otherwise fp32.
        threads: how many to use; None leaves it to the engine.
        cache_dir: where the engine may keep the compiled model for the next start.

    Raises:
        EngineError: the engine or the precision is unknown, the engine is missing, or cannot open the model.
    """
    name = next(iter(ENGINES)) if engine == "auto" else engine
    if name not in ENGINES:
        raise EngineError(f"no engine is called {engine!r}: use auto, {', '.join(ENGINES)}")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise EngineError(f"threads is {threads!r}: give a whole number of at least 1")
    if precision not in get_args(Precision):
        raise EngineError(f"precision is {precision!r}: use one of {', '.join(get_args(Precision))}")
    module, class_name, advice = ENGINES[name]
    try:
        opener: Any = getattr(import_module(module), class_name)
    except ImportError as error:
        raise EngineError(f"engine {name} is not installed ({error}): {advice}") from error
    opened: Engine = opener(model, precision=precision, threads=threads, cache_dir=cache_dir)
    return opened
