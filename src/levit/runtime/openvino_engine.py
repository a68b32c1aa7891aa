"""The default engine: OpenVINO on the CPU."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from levit.errors import EngineError
from levit.runtime.cpu_count import usable_cores, visible_cores
from levit.runtime.openvino_core import openvino_core
from levit.runtime.openvino_graph import is_quantized, own_quantization, take_pixels
from levit.spec.artifact import Artifact

_DEVICE = "CPU"
_ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """An ONNX model in OpenVINO; see `levit.runtime.engine.open_engine` for the arguments.

    The model is compiled when it is first needed, for each use in its own way: normalized values in batches of any
    size (`run`), one image as soon as possible (`run_images`), batch after batch (`submit`). Compiled models are kept
    in `cache_dir`. An engine may be shared between threads.
    """

    name = "openvino"

    def __init__(
        self,
        model: Path | bytes,
        *,
        precision: str = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        _check_is_onnx(model)
        self._name = _name(model)
        try:
            self._network = openvino_core().read_model(model)
        except RuntimeError as error:
            raise EngineError(f"{self._name}: OpenVINO cannot open it ({_first_line(error)})") from error
        self.metadata: Mapping[str, str] = _metadata(self._network)
        quantized = is_quantized(self._network)
        self.precision, in_float, self.reason = choose_precision(precision, quantized=quantized, name=self._name)
        if quantized:
            own_quantization(self._network)
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _ELEMENT_TYPES[in_float]}
        if threads is not None or usable_cores() < visible_cores():
            self._settings["INFERENCE_NUM_THREADS"] = threads or usable_cores()
        if cache_dir is not None:
            self._settings["CACHE_DIR"] = str(cache_dir)
        self._lock = threading.Lock()
        self._compiled: dict[int | None, openvino.CompiledModel] = {}  # by the size of its batch
        self._idle: dict[int | None, deque[openvino.InferRequest]] = {}
        self._queues: dict[int, _Queue] = {}

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network, or OpenVINO cannot compile it.
        """
        return self._infer(None, pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of a few images, one after the other: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        if not len(images):
            return self._infer(1, np.zeros((1, *images.shape[1:]), np.uint8))[:0]
        return np.concatenate([self._infer(1, images[index : index + 1]) for index in range(len(images))])

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Logits of one batch among many: uint8 [B, height, width, 3] -> the future of float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        with self._lock:
            if batch_size not in self._queues:
                self._queues[batch_size] = _Queue(self._compile("THROUGHPUT", batch_size), batch_size)
        return self._queues[batch_size].submit(images)

    def _infer(self, batch: int | None, values: NDArray[Any]) -> NDArray[np.float32]:
        with self._lock:
            if batch not in self._compiled:
                self._compiled[batch], self._idle[batch] = self._compile("LATENCY", batch), deque()
            idle = self._idle[batch]
            request = idle.pop() if idle else self._compiled[batch].create_infer_request()
        try:
            logits = np.array(request.infer([values], share_inputs=True)[0], np.float32)
        except RuntimeError as error:
            raise _cannot_run(values, error) from error
        idle.append(request)
        return logits

    def _compile(self, hint: str, batch: int | None) -> openvino.CompiledModel:
        """The network for normalized batches of any size (None), or for a fixed number of images."""
        network = self._network
        if batch is not None:
            preprocessing = Artifact.from_metadata(self.metadata).preprocessing
            network = take_pixels(network.clone(), preprocessing, batch)
        try:
            return openvino_core().compile_model(network, _DEVICE, {**self._settings, "PERFORMANCE_HINT": hint})
        except RuntimeError as error:
            raise EngineError(f"{self._name}: OpenVINO cannot compile it ({_first_line(error)})") from error


class _Queue:
    """As many requests at once as the processor computes best together."""

    def __init__(self, compiled: openvino.CompiledModel, batch_size: int) -> None:
        self._requests = openvino.AsyncInferQueue(compiled)
        self._requests.set_callback(self._finish)
        self._shape = (batch_size, *(size.get_length() for size in compiled.input(0).get_partial_shape()[1:]))
        self._lock = threading.Lock()
        # A thread of OpenVINO that returns from `_finish` while Python goes down would take the process with it.
        weakref.finalize(self, self._requests.wait_all)

    def submit(self, images: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
        count, size = len(images), self._shape[0]
        # Checked here, because a request that is refused does not come back.
        if images.shape[1:] != self._shape[1:] or count > size or images.dtype != np.uint8:
            raise EngineError(
                f"OpenVINO cannot run a batch of shape {list(images.shape)}: it takes at most {list(self._shape)} of "
                f"uint8, and this is {images.dtype}"
            )
        if count < size:  # the last batch: it is filled up, and what that gives is thrown away
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        future: Future[NDArray[np.float32]] = Future()
        future.set_running_or_notify_cancel()  # nobody can take it back from the request
        with self._lock:  # the images travel along, because the request reads them where they are
            self._requests.start_async([images], (future, images, count), share_inputs=True)
        return future

    @staticmethod
    def _finish(request: openvino.InferRequest, userdata: tuple[Future[NDArray[np.float32]], Any, int]) -> None:
        future, _, count = userdata
        future.set_result(np.array(request.get_output_tensor(0).data[:count], np.float32))


def choose_precision(wanted: str, *, quantized: bool, name: str = "the model") -> tuple[str, str, str]:
    """In what OpenVINO computes a model here.

    Args:
        wanted: auto, fp32, bf16 or int8.
        quantized: whether the model is.
        name: of the model, for errors.

    Returns:
        The precision, that of what is not quantized, and the reason.

    Raises:
        EngineError: int8 is wanted, and the model is not quantized.
    """
    native = "BF16" in openvino_core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if wanted == "int8" and not quantized:
        raise EngineError(f"{name}: not quantized: export it with `levit export --precision int8`")
    if wanted in ("auto", "int8"):
        in_float = "bf16" if native else "fp32"
        why = "which this processor computes natively" if native else "because this processor has no native bf16"
    else:
        in_float = wanted if native else "fp32"
        why = "as asked for" if in_float == wanted else "because this processor has no native bf16"
    if quantized:
        return "int8", in_float, f"the file is quantized; the rest is computed in {in_float}, {why}"
    return in_float, in_float, f"{in_float}, {why}"


def _cannot_run(values: NDArray[Any], error: RuntimeError) -> EngineError:
    return EngineError(f"OpenVINO cannot run a batch of shape {list(values.shape)}: {_first_line(error)}")


def _check_is_onnx(model: Path | bytes) -> None:
    """Refuse what is no ONNX file before OpenVINO asks all of its readers, some of which complain on stderr."""
    try:
        start = model[:1] if isinstance(model, bytes) else _first_byte(model)
    except OSError as error:
        raise EngineError(f"{model!s}: cannot be read ({error.strerror})") from error
    if start != b"\x08":  # the version of the format, which comes first
        raise EngineError(f"{_name(model)}: not an ONNX file")


def _first_byte(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(1)


def _metadata(network: openvino.Model) -> dict[str, str]:
    # OpenVINO files an ONNX model's metadata under "framework", where it has any.
    if not network.has_rt_info(["framework"]):
        return {}
    return {name: str(value) for name, value in network.get_rt_info("framework").value.items()}


def _name(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the model"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
