"""The default engine: OpenVINO on the CPU."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError
from levit.runtime.cpu_count import usable_cores, visible_cores
from levit.runtime.openvino_core import openvino, openvino_core
from levit.runtime.openvino_graph import fuse_quantization, is_quantized, prepend_normalization
from levit.spec.artifact import Artifact

_DEVICE = "CPU"
_ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """ONNX model in OpenVINO; an `ImageEngine`.

    The network is compiled on first use, once for each way to run it: normalized batches of any size (`run`), single
    images with the lowest latency (`run_images`), batches of one size with the highest throughput (`submit`). Compiled
    networks are kept in `cache_dir`. An engine may be shared between threads.

    Args:
        model: an ONNX file, or its content.
        precision: "auto", "fp32", "bf16" or "int8", see `choose_precision`.
        threads: number of threads; None for the number of cores that the process may use.
        cache_dir: folder in which OpenVINO keeps compiled networks.

    Raises:
        EngineError: the model is not an ONNX file or cannot be opened, or int8 is requested of a model that is not
            quantized.
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
        self._source = str(model) if isinstance(model, Path) else "the model"
        _check_is_onnx(model, self._source)
        try:
            self._network = openvino_core().read_model(model)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot open it ({_message(error)})", source=self._source) from error
        self.metadata: Mapping[str, str] = _metadata(self._network)
        quantized = is_quantized(self._network)
        choice = choose_precision(precision, quantized=quantized, source=self._source)
        self.precision, self.reason = choice.precision, choice.reason
        if quantized:
            fuse_quantization(self._network)
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _ELEMENT_TYPES[choice.float_precision]}
        if threads is not None or usable_cores() < visible_cores():
            self._settings["INFERENCE_NUM_THREADS"] = threads or usable_cores()
        if cache_dir is not None:
            self._settings["CACHE_DIR"] = str(cache_dir)
        self._lock = threading.Lock()
        self._compiled: dict[int | None, openvino.CompiledModel] = {}  # by batch size
        self._idle: dict[int | None, deque[openvino.InferRequest]] = {}
        self._queues: dict[int, _BatchQueue] = {}

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network, or OpenVINO cannot compile it.
        """
        return self._infer(None, pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images, computed one after the other: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        if not len(images):
            return self._infer(1, np.zeros((1, *images.shape[1:]), np.uint8))[:0]
        return np.concatenate([self._infer(1, images[index : index + 1]) for index in range(len(images))])

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream: uint8 [B, height, width, 3] -> future of float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        with self._lock:
            if batch_size not in self._queues:
                self._queues[batch_size] = _BatchQueue(self._compile("THROUGHPUT", batch_size), batch_size)
        return self._queues[batch_size].submit(images)

    def _infer(self, batch_size: int | None, values: NDArray[Any]) -> NDArray[np.float32]:
        with self._lock:
            if batch_size not in self._compiled:
                self._compiled[batch_size], self._idle[batch_size] = self._compile("LATENCY", batch_size), deque()
            idle = self._idle[batch_size]
            request = idle.pop() if idle else self._compiled[batch_size].create_infer_request()
        try:
            logits = np.array(request.infer([values], share_inputs=True)[0], np.float32)
        except RuntimeError as error:
            raise _batch_error(values, _message(error)) from error
        idle.append(request)
        return logits

    def _compile(self, performance_hint: str, batch_size: int | None) -> openvino.CompiledModel:
        """Compile the network for normalized batches of any size (None), or for a fixed number of uint8 images."""
        network = self._network
        if batch_size is not None:
            preprocessing = Artifact.from_metadata(self.metadata).preprocessing
            network = prepend_normalization(network.clone(), preprocessing, batch_size)
        settings = {**self._settings, "PERFORMANCE_HINT": performance_hint}
        try:
            return openvino_core().compile_model(network, _DEVICE, settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile it ({_message(error)})", source=self._source) from error


class _BatchQueue:
    """Infer requests for batches of one size, as many in parallel as OpenVINO finds optimal for the processor."""

    def __init__(self, compiled: openvino.CompiledModel, batch_size: int) -> None:
        self._requests = openvino.AsyncInferQueue(compiled)
        self._requests.set_callback(self._finish)
        self._shape = (batch_size, *(size.get_length() for size in compiled.input(0).get_partial_shape()[1:]))
        self._lock = threading.Lock()
        # A thread of OpenVINO that returns from `_finish` during the interpreter's shutdown would crash the process.
        weakref.finalize(self, self._requests.wait_all)

    def submit(self, images: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
        count, size = len(images), self._shape[0]
        # Checked here, because a request that OpenVINO refuses never returns to the queue.
        if images.shape[1:] != self._shape[1:] or count > size or images.dtype != np.uint8:
            expected = f"it takes at most {list(self._shape)} of uint8, and this is {images.dtype}"
            raise _batch_error(images, expected)
        if count < size:  # pad the last batch; the logits of the padding are dropped
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        future: Future[NDArray[np.float32]] = Future()
        future.set_running_or_notify_cancel()  # OpenVINO cannot cancel a single request of a queue
        with self._lock:  # the request reads the images in place, so they stay referenced until it is finished
            self._requests.start_async([images], (future, images, count), share_inputs=True)
        return future

    @staticmethod
    def _finish(request: openvino.InferRequest, userdata: tuple[Future[NDArray[np.float32]], Any, int]) -> None:
        future, _, count = userdata
        future.set_result(np.array(request.get_output_tensor(0).data[:count], np.float32))


class PrecisionChoice(NamedTuple):
    """Precision in which OpenVINO computes a model on this processor.

    Attributes:
        precision: "int8", "bf16" or "fp32".
        float_precision: precision of the layers that are not quantized, "bf16" or "fp32".
        reason: explanation, one line of text.
    """

    precision: str
    float_precision: str
    reason: str


def choose_precision(requested: str, *, quantized: bool, source: str = "the model") -> PrecisionChoice:
    """Choose the precision of a model on this processor.

    Args:
        requested: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        quantized: True for a model with quantized activations.
        source: name of the model in errors.

    Raises:
        EngineError: int8 is requested, and the model is not quantized.
    """
    has_bf16 = "BF16" in openvino_core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if requested == "int8" and not quantized:
        raise EngineError("not quantized", source=source, hint="export it in int8 with `levit export`")
    if requested in ("auto", "int8"):
        in_float = "bf16" if has_bf16 else "fp32"
        reason = "which this processor computes natively" if has_bf16 else "because this processor has no native bf16"
    else:
        in_float = requested if has_bf16 else "fp32"
        reason = "as requested" if in_float == requested else "because this processor has no native bf16"
    if quantized:
        return PrecisionChoice(
            "int8", in_float, f"the file is quantized; other layers are computed in {in_float}, {reason}"
        )
    return PrecisionChoice(in_float, in_float, f"{in_float}, {reason}")


def _batch_error(batch: NDArray[Any], reason: str) -> EngineError:
    return EngineError(f"OpenVINO cannot run a batch of shape {list(batch.shape)}: {reason}")


def _check_is_onnx(model: Path | bytes, source: str) -> None:
    """Refuse other files before OpenVINO tries all of its readers, some of which print to stderr."""
    try:
        start = model[:1] if isinstance(model, bytes) else _first_byte(model)
    except OSError as error:
        raise EngineError(f"cannot be read ({error.strerror})", source=source) from error
    if start != b"\x08":  # the tag of the first field, the version of the format
        raise EngineError("not an ONNX file", source=source)


def _first_byte(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(1)


def _metadata(network: openvino.Model) -> dict[str, str]:
    # OpenVINO stores the metadata of an ONNX model, if it has any, under "framework".
    if not network.has_rt_info(["framework"]):
        return {}
    return {name: str(value) for name, value in network.get_rt_info("framework").value.items()}


def _message(error: RuntimeError) -> str:
    """Last line of an OpenVINO error: the lines before it are locations in OpenVINO's sources."""
    return str(error).strip().rpartition("\n")[2]
