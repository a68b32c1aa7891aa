"""Inference engine for checkpoints: the folded network in torch, on the CPU, on CUDA or on MPS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import EngineError, first_line
from levit.fork_safe_lock import ForkSafeLock
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule, schedule_in_slot
from levit.model.folded_network import FoldedNetwork
from levit.spec.network_input import NetworkInput

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_MAX_PENDING_BATCHES = 2  # one is computed while the next one is queued
_WARM_UP_RUNS = 3  # before a CUDA graph is captured
_capture_lock = ForkSafeLock()  # a capture fails if another one synchronizes the device

NetworkFunction = Callable[[Tensor], Tensor]


class TorchEngine(ManagedEngine):
    """Inference engine that runs a folded checkpoint in torch.

    On CUDA the network is compiled and captured as a CUDA graph for each batch size. On two CPU cores compilation took
    15 to 20 seconds and did not accelerate batches of 16 images (`docs/speed.md`), so it is off by default there.
    All computation runs in one thread that belongs to the engine; an engine can be shared between threads.

    Args:
        checkpoint: checkpoint with at least one head, as `levit.read_checkpoint` returns it.
        precision: "fp32", "bf16", or "auto": bf16 if the device supports it natively, otherwise fp32.
        threads: number of CPU threads; None keeps torch's. torch has one number for the whole process.
        provider: torch device: "cpu", "cuda", "cuda:1", "mps"; None for the first available of CUDA, MPS and CPU.
        compiled: use torch.compile; None for True on CUDA if Triton supports the device, and False elsewhere.

    Attributes:
        name: "torch".
        precision: precision of the arithmetic, "fp32" or "bf16".
        reason: one sentence on why this device and precision were selected.
        metadata: key-value pairs of the artifact that corresponds to the checkpoint.

    Raises:
        ConfigError: the checkpoint has no head.
        EngineError: the device is not available, or does not support the precision.

    Examples:
        >>> import levit
        >>> engine = TorchEngine(levit.read_checkpoint("tests/golden/tiny/timm"), precision="fp32", provider="cpu")
        >>> engine.run_images(np.zeros((2, 112, 112, 3), np.uint8)).shape
        (2, 10)
    """

    name = "torch"

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: str = "auto",
        threads: int | None = None,
        provider: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        guard = ProcessGuard("this torch engine")
        super().__init__(guard)
        guard.check()  # the thread below computes from the start
        self._device = _select_device(provider)
        self.precision, self.reason = _select_precision(precision, self._device)
        self._compiled = _supports_triton(self._device) if compiled is None else compiled
        self.metadata: Mapping[str, str] = checkpoint.as_artifact(self.precision).to_metadata()
        self._input = NetworkInput.of_architecture("torch", checkpoint.architecture)
        self._compiled_networks: dict[int, NetworkFunction] = {}  # by batch size
        # One thread: a CUDA graph belongs to the thread that captured it, and with a second computing thread OpenMP
        # suspends its threads after every operation, which makes single images a third slower.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="levit-torch")
        self._free_slots = threading.Semaphore(_MAX_PENDING_BATCHES)
        self._network = self._executor.submit(self._build, checkpoint, threads).result()

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the logits of a batch of normalized images.

        Args:
            pixel_values: float32 [B, channels, height, width].

        Returns:
            float32 [B, classes].

        Raises:
            EngineError: the shape or dtype does not fit the network.
        """
        self._input.check_values(pixel_values)
        return self._run(pixel_values, None)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the logits of a few images with low latency.

        Args:
            images: uint8 [B, height, width, 3], resized and cropped.

        Returns:
            float32 [B, classes].

        Raises:
            EngineError: the shape or dtype does not fit the network.
        """
        self._input.check_images(images)
        if not self._compiled or not len(images):
            return self._run(images, None)
        # One compiled network for single images, instead of one for each number of images.
        return np.concatenate([self._run(image[None], 1) for image in images])

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Compute the logits of one batch of a stream with high throughput; blocks while two batches are pending.

        Args:
            images: uint8 [B, height, width, 3], resized and cropped.
            batch_size: number of images in all batches of the stream except the last one, which may be smaller.

        Returns:
            Future of float32 [B, classes].

        Raises:
            EngineError: the shape or dtype does not fit the network.
        """
        self._input.check_images(images)
        with self._computing():
            return schedule_in_slot(
                self._free_slots, self._executor, self._compute, images, batch_size if self._compiled else None
            )

    def _run(self, batch: NDArray[Any], batch_size: int | None) -> NDArray[np.float32]:
        with self._computing():
            return schedule(self._executor, self._compute, batch, batch_size).result()

    def _release(self) -> None:
        self._executor.shutdown(wait=True)
        self._compiled_networks.clear()
        self.__dict__.pop("_network", None)

    def _build(self, checkpoint: Checkpoint, threads: int | None) -> FoldedNetwork:
        if threads is not None and self._device.type == "cpu":
            torch.set_num_threads(threads)
        return FoldedNetwork(checkpoint, _DTYPES[self.precision]).to(self._device).eval()

    @torch.inference_mode()
    def _compute(self, batch: NDArray[Any], batch_size: int | None) -> NDArray[np.float32]:
        """Compute logits by the network that is compiled for a batch size, or by the uncompiled network (None)."""
        count = len(batch)
        missing = max(batch_size or count, 1) - count  # in the last batch of many, or in an empty one
        if missing > 0:  # pad; the logits of the padding are dropped
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
        try:
            with _current_device(self._device):
                values = torch.from_numpy(np.require(batch, requirements=["C", "W"])).to(self._device)
                logits: Tensor = (self._network if batch_size is None else self._compiled_network(values))(values)
                return logits[:count].cpu().numpy()
        except RuntimeError as error:
            raise EngineError(f"torch cannot run a batch of shape {list(batch.shape)} ({first_line(error)})") from error

    def _compiled_network(self, values: Tensor) -> NetworkFunction:
        batch_size = len(values)
        if batch_size not in self._compiled_networks:
            compiled: NetworkFunction = torch.compile(self._network, dynamic=False)
            is_cuda = self._device.type == "cuda"
            self._compiled_networks[batch_size] = _capture_cuda_graph(compiled, values) if is_cuda else compiled
        return self._compiled_networks[batch_size]


def _capture_cuda_graph(network: NetworkFunction, example: Tensor) -> NetworkFunction:
    """Capture a network as a CUDA graph of the current device, which is replayed without Python overhead."""
    static_input = example.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_RUNS):
            network(static_input)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # torch's own stream for captures belongs to the device that captured first. Other threads may use CUDA meanwhile.
    with _capture_lock, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        logits = network(static_input)

    def replay(values: Tensor) -> Tensor:
        static_input.copy_(values)
        graph.replay()
        return logits

    return replay


def _current_device(device: torch.device) -> AbstractContextManager[object]:
    """Context in which a CUDA device is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _supports_triton(device: torch.device) -> bool:
    """Return whether torch.compile has its compiler for a CUDA device: torch for Windows comes without Triton."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (7, 0)


def _select_device(provider: str | None) -> torch.device:
    available = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    hint = f"use {' or '.join(available)}"
    try:
        device = torch.device(provider or available[0])
    except RuntimeError as error:
        raise EngineError(f"torch has no device type {provider!r}", hint=hint) from error
    if device.type not in available or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise EngineError(f"torch device {provider!r} is not available", hint=hint)
    return device


def _select_precision(precision: str, device: torch.device) -> tuple[str, str]:
    """Select the precision of the arithmetic, and state the reason."""
    if precision == "int8":
        raise EngineError(
            "the torch engine does not support int8",
            hint="export it in int8 with `levit export`, and open the file with another `engine`",
        )
    if precision != "auto":
        return precision, f"on {device}, {precision}, as requested"
    if has_bfloat16(device):
        return "bf16", f"on {device}, bf16, which it computes natively"
    return "fp32", f"on {device}, fp32, because bf16 is not known to be faster there"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether torch reports native bfloat16 arithmetic for a device; False for other types than CPU and CUDA."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # Only recent releases of torch have get_capabilities.
    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return device.type == "cpu" and bool(capabilities().get("avx512_bf16"))
