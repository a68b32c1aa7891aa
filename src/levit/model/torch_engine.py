"""An engine for checkpoints: the folded network in torch, on the CPU, on CUDA or on MPS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import EngineError
from levit.model.folded_network import FoldedNetwork

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_BATCHES_AT_ONCE = 2  # one is computed, the next one waits
_WARM_UP = 3  # runs before a CUDA graph is recorded

Program = Callable[[Tensor], Tensor]


class TorchEngine:
    """A checkpoint in torch: folded, and on CUDA compiled and recorded as a CUDA graph for each size of batch.

    On two cores, compiling took 15 to 20 seconds and made batches of 16 images no faster (`docs/speed.md`), so it is
    left out there unless it is asked for. Everything is computed in one thread of the engine's own; an engine may be
    shared between threads.

    Args:
        checkpoint: what `levit.read_checkpoint` gives; it must have a head.
        precision: "fp32", "bf16", or "auto": bf16 where a CPU or a CUDA device has it natively, otherwise fp32.
        threads: for the CPU; torch keeps one number for the whole process.
        provider: the device: "cpu", "cuda", "cuda:1", "mps"; None for the fastest that is there.
        compiled: whether to use torch.compile; None for yes on CUDA.

    Raises:
        ConfigError: the checkpoint has no head.
        EngineError: the device is not there, or has no such precision.

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
        self._device = _find_device(provider)
        self.precision, self.reason = _choose_precision(precision, self._device)
        self._compiled = self._device.type == "cuda" if compiled is None else compiled
        self.metadata: Mapping[str, str] = checkpoint.as_artifact(self.precision).to_metadata()
        self._programs: dict[int, Program] = {}  # by the size of the batch
        # A CUDA graph stays in its thread; and with a second thread that computes, OpenMP lets all of them sleep after
        # every operation, which makes single images a third slower.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="levit-torch")
        self._free = threading.Semaphore(_BATCHES_AT_ONCE)
        self._network = self._worker.submit(self._build, checkpoint, threads).result()

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of a batch: float32 [B, channels, height, width] -> float32 [B, classes].

        Raises:
            EngineError: the batch does not fit the network.
        """
        return self._worker.submit(self._compute, pixel_values, None).result()

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of a few images, as soon as possible: uint8 [B, height, width, 3] -> float32 [B, classes].

        Raises:
            EngineError: the images do not fit the network.
        """
        if not self._compiled or not len(images):
            return self._worker.submit(self._compute, images, None).result()
        # A program for one image, instead of one for each number of them.
        return np.concatenate([self._worker.submit(self._compute, image[None], 1).result() for image in images])

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Logits of one batch among many: uint8 [B, height, width, 3] -> the future of float32 [B, classes].

        The future raises EngineError where the images do not fit the network.
        """
        self._free.acquire()
        future = self._worker.submit(self._compute, images, batch_size if self._compiled else None)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def _build(self, checkpoint: Checkpoint, threads: int | None) -> FoldedNetwork:
        if threads is not None and self._device.type == "cpu":
            torch.set_num_threads(threads)
        return FoldedNetwork(checkpoint, _DTYPES[self.precision]).to(self._device).eval()

    @torch.inference_mode()
    def _compute(self, batch: NDArray[Any], size: int | None) -> NDArray[np.float32]:
        """Logits, by a program for batches of one size, or by the network as it is."""
        count = len(batch)
        if size is not None and size > count:  # the last batch: it is filled up, and what that gives is thrown away
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), batch.dtype)])
        try:
            values = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            logits: Tensor = (self._network if size is None else self._program(values))(values)
            return logits[:count].cpu().numpy()
        except RuntimeError as error:
            raise EngineError(f"torch cannot run a batch of shape {list(batch.shape)}: {_first_line(error)}") from error

    def _program(self, values: Tensor) -> Program:
        size = len(values)
        if size not in self._programs:
            compiled: Program = torch.compile(self._network, dynamic=False)
            self._programs[size] = _record(compiled, values) if self._device.type == "cuda" else compiled
        return self._programs[size]


def _record(network: Program, example: Tensor) -> Program:
    """The network as a CUDA graph, which is replayed without a word from Python."""
    given = example.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            network(given)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = network(given)

    def replay(values: Tensor) -> Tensor:
        given.copy_(values)
        graph.replay()
        return logits

    return replay


def _find_device(provider: str | None) -> torch.device:
    available = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    try:
        device = torch.device(provider or available[0])
    except RuntimeError as error:
        raise EngineError(f"torch knows no device {provider!r}: use {' or '.join(available)}") from error
    if device.type not in available or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise EngineError(f"torch has no device {provider!r} here: use {' or '.join(available)}")
    return device


def _choose_precision(wanted: str, device: torch.device) -> tuple[str, str]:
    if wanted == "int8":
        raise EngineError("torch has no int8 here: export with `levit export --precision int8`, for engine openvino")
    if wanted != "auto":
        return wanted, f"on {device}, {wanted}, as asked for"
    if has_bfloat16(device):
        return "bf16", f"on {device}, bf16, which it computes natively"
    return "fp32", f"on {device}, fp32, because bf16 is not known to be faster there"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a CPU or a CUDA device computes bfloat16 natively, as far as torch knows."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # new in torch
    return device.type == "cpu" and bool(capabilities().get("avx512_bf16"))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
