"""ONNX Runtime engine, on the CPU or on another execution provider."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from levit.errors import EngineError, first_line
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule_in_slot
from levit.runtime.cpu_count import usable_cores
from levit.runtime.external_data import check_external_data
from levit.runtime.model_file import AnyModel, ModelFile
from levit.runtime.precision import choose_precision
from levit.spec.artifact import Artifact
from levit.spec.network_input import NetworkInput
from levit.spec.preprocessing import Preprocessing

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider"}

_WITHOUT_BF16 = "because ONNX Runtime has no bf16"
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"

_MAX_PENDING_BATCHES = 2  # one is computed and one waits


class OnnxRuntimeEngine(ManagedEngine):
    """ONNX model in ONNX Runtime; an `ImageEngine`.

    The arithmetic is fp32, and int8 in the quantized layers; ONNX Runtime has no bf16 on CPUs. An engine may be shared
    between threads.

    Args:
        model: an ONNX file, or its content.
        precision: "auto", "fp32" or "int8".
        threads: number of threads; None for the number of cores that the process may use.
        provider: execution provider: "cpu", "cuda", "coreml", or the full name of another provider; None for "cpu".
        cache_dir: ignored, because opening a model takes a fraction of a second.

    Raises:
        EngineError: the model cannot be opened, its weights are outside its folder, or ONNX Runtime lacks the
            precision or the provider here.
    """

    name = "onnxruntime"

    def __init__(
        self,
        model: AnyModel,
        *,
        precision: str = "auto",
        threads: int | None = None,
        provider: str | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        guard = ProcessGuard("this engine of ONNX Runtime")
        super().__init__(guard)
        file = ModelFile.of(model)
        source = file.name
        if precision == "bf16":
            raise EngineError("onnxruntime has no bf16", hint="use `precision` auto, or `engine` openvino")
        provider_name = _find_provider(provider or "cpu")
        self._options = _session_options(threads, file.folder)
        self._providers = [provider_name]
        check_external_data(file)
        guard.check()  # a session has threads from the start
        self._model = file.content
        try:
            self._session = self._open(self._model)
        except Exception as error:  # the exceptions of ONNX Runtime have no common base class
            raise EngineError(f"ONNX Runtime cannot open it ({first_line(error)})", source=source) from error
        if self._session.get_providers()[0] != provider_name:
            raise EngineError(
                f"ONNX Runtime cannot use {provider_name} here", source=source, hint="are its libraries installed?"
            )
        self._input = NetworkInput.of_shape("ONNX Runtime", self._session.get_inputs()[0].shape)
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        quantized = self.metadata.get("levit.precision") == '"int8"'
        self.precision, _, self.reason = choose_precision(
            precision, quantized=quantized, has_bf16=False, without_bf16=_WITHOUT_BF16, source=source
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="levit-onnxruntime")
        self._slots = threading.Semaphore(_MAX_PENDING_BATCHES)

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network.
        """
        with self._computing():
            self._input.check_values(pixel_values)
            return _run(self._session, pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images with the lowest latency: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network.
        """
        with self._computing():
            return self._run_images(images)

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream: uint8 [B, height, width, 3] -> future of float32 [B, classes].

        The future raises EngineError if the images do not fit the network.
        """
        with self._computing():
            return schedule_in_slot(self._slots, self._worker, self._run_images, images)

    def _run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._input.check_images(images)
        return _run(self._images_session, images.reshape(*images.shape[:2], images.shape[2] * images.shape[3]))

    @cached_property
    def _images_session(self) -> onnxruntime.InferenceSession:
        return self._open(prepend_normalization(self._model, Artifact.from_metadata(self.metadata).preprocessing))

    def _release(self) -> None:
        self._worker.shutdown(wait=True)
        self.__dict__.pop("_images_session", None)
        self.__dict__.pop("_session", None)

    def _open(self, model: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(model, self._options, providers=self._providers)


def prepend_normalization(content: bytes, preprocessing: Preprocessing) -> bytes:
    """Normalize uint8 images inside a network.

    Args:
        content: an ONNX model whose only input is float32 [B, 3, height, width].
        preprocessing: rescaling, mean and standard deviation of the normalization.

    Returns:
        An ONNX model with the input uint8 [B, height, width * 3].
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(content)
    graph, values = model.graph, model.graph.input[0]
    batch, _, height, width = values.type.tensor_type.shape.dim
    scale, shift = preprocessing.scale_and_shift()
    constants = {
        "pixels.scale": np.tile(np.array(scale, np.float32), width.dim_value),
        "pixels.shift": np.tile(np.array(shift, np.float32), width.dim_value),
        "pixels.shape": np.array([0, 0, width.dim_value, 3], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["pixels.float"], "pixels.float", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels.float", "pixels.scale"], ["pixels.scaled"], "pixels.scaled"),
        helper.make_node("Add", ["pixels.scaled", "pixels.shift"], ["pixels.rows"], "pixels.rows"),
        helper.make_node("Reshape", ["pixels.rows", "pixels.shape"], ["pixels.grid"], "pixels.grid"),
        helper.make_node("Transpose", ["pixels.grid"], [values.name], "pixels.planes", perm=[0, 3, 1, 2]),
        *graph.node,
    ]
    shape = [batch.dim_param or batch.dim_value, height.dim_value, width.dim_value * 3]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(pixels)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    prepended: bytes = model.SerializeToString()
    return prepended


def _run(session: onnxruntime.InferenceSession, values: NDArray[Any]) -> NDArray[np.float32]:
    try:
        (logits,) = session.run(None, {session.get_inputs()[0].name: values})
    except Exception as error:  # the exceptions of ONNX Runtime have no common base class
        raise EngineError(
            f"ONNX Runtime cannot run a batch of shape {list(values.shape)}: {first_line(error)}"
        ) from error
    return np.asarray(logits, np.float32)


def _session_options(threads: int | None, folder: Path | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = 3  # errors only; they are raised anyway
    if folder is not None:  # as in OpenVINO, the weights may be in other files of the folder
        options.add_session_config_entry(_EXTERNAL_DATA, str(folder))
    return options


def _find_provider(provider: str) -> str:
    available: list[str] = onnxruntime.get_available_providers()
    name = _PROVIDERS.get(provider.lower(), provider)
    if name not in available:
        hint = 'pip install "onnxruntime-gpu"' if name == _PROVIDERS["cuda"] else None
        raise EngineError(f"onnxruntime has no provider {provider!r} here (it has {', '.join(available)})", hint=hint)
    return name
