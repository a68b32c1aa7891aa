"""OpenVINO on the CPU."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError, last_line
from levit.managed_engine import ManagedEngine
from levit.runtime.compiled_cache import verified_cache
from levit.runtime.cpu_count import usable_cores, visible_cores
from levit.runtime.engine import OPENVINO_SUFFIX
from levit.runtime.external_data import check_external_data
from levit.runtime.model_file import AnyModel, ModelFile
from levit.runtime.openvino_core import OPENVINO_GUARD, openvino, openvino_core
from levit.runtime.openvino_graph import fuse_quantization, is_quantized, prepend_normalization
from levit.runtime.openvino_queue import BatchQueue, compute
from levit.runtime.precision import PrecisionChoice, choose_precision
from levit.spec.artifact import Artifact
from levit.spec.network_input import NetworkInput

_DEVICE = "CPU"
_WITHOUT_BF16 = "because this processor has no native bf16"
_ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine(ManagedEngine):
    """ONNX model in OpenVINO; an `ImageEngine`.

    The network is compiled on first use, once for each way to run it: normalized batches of any size (`run`), single
    images with the lowest latency (`run_images`), batches of one size with the highest throughput (`submit`). Compiled
    networks are kept in `cache_dir`. An engine may be shared between threads.

    Args:
        model: an ONNX file, or its content; or the `.xml` file of OpenVINO's format.
        precision: "auto", "fp32", "bf16" or "int8", see `choose_openvino_precision`.
        threads: number of threads; None for the number of cores that the process may use.
        cache_dir: folder in which OpenVINO keeps compiled networks.

    Raises:
        EngineError: the model is not an ONNX file or cannot be opened, its weights are outside its folder, or
            int8 is requested of a model that is not quantized.
    """

    name = "openvino"

    def __init__(
        self,
        model: AnyModel,
        *,
        precision: str = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(OPENVINO_GUARD)
        file = ModelFile.of(model)
        self._source = file.name
        if file.path is not None and file.path.suffix.lower() == OPENVINO_SUFFIX:
            _check_starts_with(b"<", file, "OpenVINO's format")
        else:
            _check_starts_with(b"\x08", file, "an ONNX file")  # tag of the first field, the version
            check_external_data(file)
        with OPENVINO_GUARD.preparing():
            self._network = _read_network(file)
            self.metadata: Mapping[str, str] = _metadata(self._network)
            self._input = NetworkInput.of_shape("OpenVINO", _input_shape(self._network))
            quantized = is_quantized(self._network)
            choice = choose_openvino_precision(precision, quantized=quantized, source=self._source)
            if quantized:
                fuse_quantization(self._network)
        self.precision, self.reason = choice.precision, choice.reason
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _ELEMENT_TYPES[choice.float_precision]}
        count = threads or usable_cores()
        if threads is not None or count < visible_cores():
            self._settings["INFERENCE_NUM_THREADS"] = count
        self._cache_dir = cache_dir
        self._lock = threading.Lock()
        self._compiled: dict[int | None, openvino.CompiledModel] = {}  # by batch size
        self._idle: dict[int | None, deque[openvino.InferRequest]] = {}
        self._queues: dict[int, BatchQueue] = {}

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network, or OpenVINO cannot compile it.
        """
        self._input.check_values(pixel_values)
        return self._infer(None, pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images, computed one after the other: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        self._input.check_images(images)
        if not len(images):
            return self._infer(1, np.zeros((1, *images.shape[1:]), np.uint8))[:0]
        return np.concatenate([self._infer(1, images[index : index + 1]) for index in range(len(images))])

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream: uint8 [B, height, width, 3] -> future of float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network, or OpenVINO cannot compile it.
        """
        with self._computing():
            self._input.check_images(images)
            with self._lock:
                if batch_size not in self._queues:
                    self._queues[batch_size] = _queue(self._compile("THROUGHPUT", batch_size))
                queue = self._queues[batch_size]
            return queue.submit(images)

    def _infer(self, batch_size: int | None, values: NDArray[Any]) -> NDArray[np.float32]:
        with self._computing():
            return self._infer_now(batch_size, values)

    def _infer_now(self, batch_size: int | None, values: NDArray[Any]) -> NDArray[np.float32]:
        with self._lock:
            if batch_size not in self._compiled:
                self._compiled[batch_size], self._idle[batch_size] = self._compile("LATENCY", batch_size), deque()
            idle = self._idle[batch_size]
            request = idle.pop() if idle else self._compiled[batch_size].create_infer_request()
        logits = compute(request, values)
        idle.append(request)
        return logits

    def _compile(self, performance_hint: str, batch_size: int | None) -> openvino.CompiledModel:
        """Compile the network for normalized batches of any size (None), or for a fixed number of uint8 images."""
        network = self._network
        if batch_size is not None:
            preprocessing = Artifact.from_metadata(self.metadata).preprocessing
            network = prepend_normalization(network.clone(), preprocessing, batch_size)
        settings = {**self._settings, "PERFORMANCE_HINT": performance_hint}
        cache: AbstractContextManager[Path | None] = nullcontext()
        if self._cache_dir is not None:
            cache = verified_cache(self._cache_dir, sorted(self.metadata.items()), sorted(settings.items()), batch_size)
        try:
            with cache as folder:
                if folder is not None:
                    with suppress(RuntimeError):  # another process may delete a file that OpenVINO is writing there
                        return openvino_core().compile_model(network, _DEVICE, settings | {"CACHE_DIR": str(folder)})
                return openvino_core().compile_model(network, _DEVICE, settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile it ({last_line(error)})", source=self._source) from error

    def _release(self) -> None:
        with self._lock:
            for queue in self._queues.values():
                queue.close()
            self._queues.clear()
            self._idle.clear()
            self._compiled.clear()


def _queue(compiled: openvino.CompiledModel) -> BatchQueue:
    """Queue of as many parallel requests as OpenVINO finds optimal for the processor."""
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    shape = tuple(size.get_length() for size in compiled.input(0).get_partial_shape())
    return BatchQueue([compiled.create_infer_request() for _ in range(count)], shape)


def choose_openvino_precision(requested: str, *, quantized: bool, source: str = "the model") -> PrecisionChoice:
    """Choose the precision of a model on this processor, as `levit.runtime.precision.choose_precision`.

    Args:
        requested: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        quantized: True for a model with quantized activations.
        source: name of the model in errors.

    Raises:
        EngineError: int8 is requested, and the model is not quantized.
    """
    has_bf16 = "BF16" in openvino_core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    return choose_precision(
        requested, quantized=quantized, has_bf16=has_bf16, without_bf16=_WITHOUT_BF16, source=source
    )


def _check_starts_with(tag: bytes, file: ModelFile, kind: str) -> None:
    """Refuse other files before OpenVINO tries all of its readers, some of which print to stderr."""
    if file.content[:1] != tag:
        raise EngineError(f"not {kind}", source=file.name)


def _read_network(file: ModelFile) -> openvino.Model:
    try:
        return openvino_core().read_model(file.content if file.path is None else file.path)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot open it ({last_line(error)})", source=file.name) from error


def _input_shape(network: openvino.Model) -> list[int | None]:
    """Shape of the first input; None for a size that is not fixed, and an empty list for any shape."""
    shape = network.input(0).get_partial_shape()
    return [size.get_length() if size.is_static else None for size in shape] if shape.rank.is_static else []


def _metadata(network: openvino.Model) -> dict[str, str]:
    # OpenVINO stores the metadata of an ONNX model, if it has any, under "framework".
    if not network.has_rt_info(["framework"]):
        return {}
    return {name: str(value) for name, value in network.get_rt_info("framework").value.items()}
