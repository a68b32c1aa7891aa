"""The native engine: LeViT in the library of `native/`, without a runtime for other networks."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levit.errors import CheckpointError, EngineError, LevitWarning
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule_in_slot
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import Engine, open_engine
from levit.runtime.model_file import AnyModel, ModelFile
from levit.runtime.native_format import OtherFormError
from levit.runtime.native_library import chosen_instruction_set
from levit.runtime.native_models import open_packed
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_precision import choose_native_precision
from levit.runtime.onnx_metadata import read_metadata
from levit.spec.artifact import Artifact
from levit.spec.network_input import NetworkInput

if TYPE_CHECKING:
    from array import array

    import numpy as np
    from numpy.typing import NDArray


_INPUT = NetworkInput("the native engine")  # the network knows its sizes


class NativeEngine(ManagedEngine):
    """Exported file in the native engine; a `ByteEngine`.

    Quantized layers are computed in int8, all others in bf16 with AMX and with Arm's i8mm, or else in fp32; attention
    between quantized layers also in int16. The weights are packed on first use, and kept in `cache_dir`. An engine may
    be shared between threads. The logits of an image depend neither on their number nor on the other images of a batch.

    Args:
        model: an ONNX file of `levit export`, or its content.
        precision: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        threads: number of threads; None for the number of cores that the process may use.
        cache_dir: folder in which the packed weights are kept.

    Raises:
        CheckpointError: the metadata of the file are missing or invalid.
        ConfigError: LEVIT_NATIVE_INSTRUCTIONS names no instruction set of this processor.
        EngineError: there is no native library, the file cannot be read, the precision does not exist, or the native
            engine does not compute networks of this form.
    """

    name = "native"

    def __init__(
        self,
        model: AnyModel,
        *,
        precision: str = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(ProcessGuard("this native engine"))  # the network has threads from the first batch on
        file = ModelFile.of(model)
        artifact = Artifact.from_metadata(read_metadata(file))
        self.precision, _, self.reason = choose_native_precision(
            precision,
            quantized=artifact.precision == "int8",
            instruction_set=chosen_instruction_set(),
            source=file.name,
        )
        packed = open_packed(file, cache_dir, precision)
        threads = threads or usable_cores()
        self._network = NativeNetwork(packed, threads=threads)
        # Those of a stream; each is used by one thread at a time.
        self._idle = deque([self._network] if threads == 1 else [])
        self.metadata: Mapping[str, str] = self._network.metadata
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="levit-native")
        self._slots = threading.Semaphore(threads + 1)  # one batch of each thread, and one that waits

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network.
        """
        with self._computing():
            _INPUT.check_values(pixel_values)
            return self._network.run(pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images with the lowest latency: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network.
        """
        with self._computing():
            return _run_images(self._network, images)

    def run_bytes(self, images: Sequence[bytes]) -> list[array[float]]:
        """Logits of images with the lowest latency, without numpy; see `levit.runtime.engine.ByteEngine`."""
        with self._computing():
            return self._network.run_bytes(images)

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream: uint8 [B, height, width, 3] -> future of float32 [B, classes].

        Each batch is computed by one thread, which waits for no other. The future raises EngineError if the images do
        not fit the network.
        """
        with self._computing():
            return schedule_in_slot(self._slots, self._workers, self._run_alone, images)

    def _run_alone(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute a batch in this thread."""
        try:
            network = self._idle.pop()
        except IndexError:  # the first batches
            network = self._network.share(threads=1)
        try:
            return _run_images(network, images)
        finally:
            self._idle.append(network)

    def _release(self) -> None:
        self._workers.shutdown(wait=True)
        for network in (self._network, *self._idle):
            network.close()


def _run_images(network: NativeNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    _INPUT.check_images(images)
    return network.run(images)


def open_native_engine(model: AnyModel, **options: Any) -> Engine:
    """Open an exported file in the native engine, or in OpenVINO if the native engine cannot compute its network.

    Args:
        model: an ONNX file, or its content.
        options: those of `NativeEngine`.

    Returns:
        The engine; the `reason` of an OpenVINO engine begins with that for the exchange, which is also a warning.

    Raises:
        EngineError: there is no native library, or neither engine can open the file.
    """
    file = ModelFile.of(model)
    try:
        return NativeEngine(file, **options)
    except (CheckpointError, OtherFormError) as error:
        reason = f"the native engine cannot compute this model: {error.reason}"
        if find_spec("openvino") is None:
            raise EngineError(reason, source=file.name, hint="pip install openvino") from error
    engine = open_engine(file.path or file.content, engine="openvino", **options)
    engine.reason = f"{reason}; {engine.reason}"
    warnings.warn(f"{reason}; OpenVINO is used instead", LevitWarning, stacklevel=2)
    return engine
