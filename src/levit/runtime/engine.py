"""The engine protocols, the table of engines, and `open_engine()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Union, get_args, runtime_checkable

from levit.errors import ConfigError, EngineError, first_line
from levit.files import check_regular_file
from levit.runtime.model_file import ModelFile
from levit.spec.choices import Precision
from levit.spec.field_values import check_count

if TYPE_CHECKING:
    from array import array

    import numpy as np
    from numpy.typing import NDArray

OPENVINO_SUFFIX = ".xml"
"""Suffix of the graph of a model in OpenVINO's own format."""

Row = Union["array[float]", "NDArray[np.float32]"]
"""Numbers of one image: float32 [numbers]; without numpy, an `array.array` of this type."""


@runtime_checkable
class Engine(Protocol):
    """Inference engine with one model: computes logits from normalized images.

    An engine holds the compiled network and its threads until the last reference to it is deleted. The engines of
    levit are also context managers with a method `close()`, after which they raise an EngineError. An engine may be
    shared between threads. A forked child process lacks the threads: there, the engines of levit raise an EngineError
    if the parent has used them, and OpenVINO if the parent has compiled any network; start processes by the method
    "spawn" instead.

    Attributes:
        name: name of the engine, as in `open_engine(engine=…)`.
        precision: precision of the arithmetic: "fp32", "bf16", or "int8" where linear layers and convolutions are
            computed in int8.
        reason: explanation of the chosen precision, one line of text.
        metadata: key-value pairs of the model file, see `levit.spec.artifact.Artifact.from_metadata`.
    """

    name: str
    precision: str
    reason: str
    metadata: Mapping[str, str]

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the logits of a batch of normalized images.

        Args:
            pixel_values: float32 [B, channels, height, width].

        Returns:
            Logits, float32 [B, classes].

        Raises:
            EngineError: the shape or dtype does not fit the network, or the computation failed.
        """
        ...


@runtime_checkable
class ImageEngine(Engine, Protocol):
    """Inference engine that also normalizes images, and computes several batches in parallel."""

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of a few images with the lowest latency: several threads may work on the same image.

        Args:
            images: uint8 [B, height, width, 3], resized and cropped; B may be 0.

        Returns:
            Logits, float32 [B, classes].

        Raises:
            EngineError: the shape or dtype does not fit the network, or the computation failed.
        """
        ...

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream with the highest throughput; blocks while all threads are busy.

        Args:
            images: uint8 [B, height, width, 3] with B at most `batch_size`.
            batch_size: size of all batches of the stream except a smaller last one.

        Returns:
            Future of the logits, float32 [B, classes]. It cannot be canceled once the computation has started.

        Raises:
            EngineError: the shape or dtype does not fit the network; raised here or by the future.
        """
        ...


@runtime_checkable
class ByteEngine(ImageEngine, Protocol):
    """Inference engine that also computes images without arrays, so that a short process need not import numpy."""

    def run_bytes(self, images: Sequence[bytes]) -> list[array[float]]:
        """Compute the logits of a few images as `run_images` does.

        Args:
            images: pixels of images of the network's size, three bytes each, row by row.

        Returns:
            Logits of each image, an array of the type "f".

        Raises:
            EngineError: the size does not fit the network, or the computation failed.
        """
        ...


class EngineEntry(NamedTuple):
    """Row of the table of engines.

    Attributes:
        module: module of the engine, imported on first use.
        class_name: class in that module, or a function with the same parameters.
        package: package whose presence means that the engine is installed; empty for one of this package.
        install_command: command that installs the engine.
    """

    module: str
    class_name: str
    package: str = ""
    install_command: str = ""

    def load(self, name: str) -> Callable[..., Engine]:
        """Import the class of the engine.

        Args:
            name: name of the engine, for the error.

        Raises:
            EngineError: the package is not installed.
        """
        try:
            engine: Callable[..., Engine] = getattr(import_module(self.module), self.class_name)
        except ImportError as error:
            reason = f"No module named {error.name!r}" if error.name else first_line(error)
            raise EngineError(f"engine {name} is not installed ({reason})", hint=self.install_command) from error
        return engine


# Engines for any ONNX file, fastest first (docs/speed.md).
ENGINES = {
    "openvino": EngineEntry("levit.runtime.openvino_engine", "OpenVinoEngine", "openvino", "pip install openvino"),
    "onnxruntime": EngineEntry(
        "levit.runtime.onnxruntime_engine", "OnnxRuntimeEngine", "onnxruntime", 'pip install "levit[onnxruntime]"'
    ),
}

# Engines for the networks of `levit export` only.
EXPORT_ENGINES = {
    "native": EngineEntry("levit.runtime.native_engine", "open_native_engine"),
}

# Engines for checkpoints.
CHECKPOINT_ENGINES = {
    "torch": EngineEntry("levit.model.torch_engine", "TorchEngine", "torch", 'pip install "levit[torch]"'),
}


def open_engine(
    model: str | PathLike[str] | bytes,
    *,
    engine: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    provider: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> Engine:
    """Open an ONNX model in an inference engine.

    Args:
        model: an ONNX file, or its content; or the `.xml` file of a model in OpenVINO's format, for that engine only.
        engine: "openvino", "onnxruntime", "native" for files of `levit export`, or "auto" for the fastest that is
            installed. That is the native engine where it was measured to be faster (see
            `levit.runtime.fastest_engine`), if its packed weights are or can be kept in `cache_dir`.
        precision: precision of the arithmetic. "auto" is int8 where the file is quantized, with bf16 or fp32 for the
            other layers; otherwise bf16 where the processor computes it natively, or else fp32.
        threads: number of threads, at least 1; None for the number of cores that the process may use.
        provider: execution provider of onnxruntime: "cpu", "cuda", "coreml", or the full name of another provider.
        cache_dir: folder in which the engine may keep the compiled model for the next start.

    Raises:
        ConfigError: the engine, the precision or the number of threads is unknown or invalid, `provider` is given to
            another engine than onnxruntime, or LEVIT_NATIVE_INSTRUCTIONS names no instruction set of this processor.
        EngineError: the engine is not installed, or cannot open the model or compute in this precision.
    """
    engines = ENGINES | EXPORT_ENGINES
    if engine in CHECKPOINT_ENGINES:
        raise ConfigError(f"engine {engine} opens checkpoints, not ONNX files", hint=f"use auto, {', '.join(engines)}")
    if engine != "auto" and engine not in engines:
        known = ", ".join(["auto", *engines, *CHECKPOINT_ENGINES])
        raise ConfigError(f"is {engine!r}", source="engine", hint=f"use {known}")
    threads = validate_options(precision, threads)
    file = ModelFile(model if isinstance(model, bytes) else Path(model))
    if file.path is not None:
        check_regular_file(file.path, EngineError)
        engine = _engine_of_format(file.path, engine)
    folder = None if cache_dir is None else Path(cache_dir)
    if engine == "auto" and provider is None and folder is not None:
        from levit.runtime.fastest_engine import open_native_if_fastest

        native = open_native_if_fastest(file, precision=precision, threads=threads, cache_dir=folder)
        if native is not None:
            return native
    if engine == "auto":
        engine = "onnxruntime" if provider is not None else default_engine()
    if provider is not None and engine != "onnxruntime":
        raise ConfigError(
            f"is an option of onnxruntime, not of {engine}",
            source="provider",
            hint="leave it out, or change the engine",
        )
    options: dict[str, Any] = {} if provider is None else {"provider": provider}
    return engines[engine].load(engine)(file, precision=precision, threads=threads, cache_dir=folder, **options)


def _engine_of_format(model: Path, engine: str) -> str:
    """The engine for a file: OpenVINO's format can be read by OpenVINO only."""
    if model.suffix.lower() != OPENVINO_SUFFIX:
        return engine
    if engine not in ("auto", "openvino"):
        reason = f"in OpenVINO's format, which engine {engine} cannot open"
        raise EngineError(reason, source=model, hint="use auto or openvino, or the ONNX file")
    return "openvino"


def validate_options(precision: str, threads: int | None) -> int | None:
    """Check the options that all engines share, and return the number of threads.

    Raises:
        ConfigError: the precision is unknown, or the number of threads is not a positive integer.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"is {precision!r}", source="precision", hint=f"use one of {', '.join(get_args(Precision))}")
    return None if threads is None else check_count("threads", threads)


def default_engine() -> str:
    """Name of the fastest installed engine for any ONNX file, or "native", for those of `levit export` only.

    If none is installed, the name is "openvino": its error says what to install.
    """
    for name, entry in ENGINES.items():
        if find_spec(entry.package) is not None:
            return name
    from levit.runtime.native_library import find_library

    return "native" if find_library() is not None else next(iter(ENGINES))
