"""Batches of one size that OpenVINO computes in parallel."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError, last_line
from levit.fork_safe_lock import ForkSafeLock
from levit.managed_engine import schedule

# Threads that create tensors at the same time can wait for each other forever, with the interpreter's lock (2026.4).
_STARTING = ForkSafeLock()


class InferRequest(Protocol):
    """The methods of `openvino.InferRequest` that the queue calls."""

    def start_async(self, inputs: list[NDArray[Any]], *, share_inputs: bool) -> None:
        """Start computing a batch in a thread of OpenVINO."""
        ...

    def wait(self) -> None:
        """Wait for the batch; raises RuntimeError if the computation failed."""
        ...

    def get_output_tensor(self, index: int) -> Any:
        """The output, with its values in `data`."""
        ...


class BatchQueue:
    """Infer requests for batches of one size, each with a thread that waits for it.

    OpenVINO does not call the callback of a request that fails, and a thread of OpenVINO that returns from a callback
    during the interpreter's shutdown crashes the process. So threads of Python wait for the requests.

    Args:
        requests: the requests, as many as shall be computed in parallel.
        shape: shape of a batch: batch size, height, width, 3.
    """

    def __init__(self, requests: Sequence[InferRequest], shape: tuple[int, ...]) -> None:
        self._idle = deque(requests)
        self._slots = threading.Semaphore(len(requests))
        self._threads = ThreadPoolExecutor(len(requests), thread_name_prefix="levit-openvino")
        self._shape = shape

    def submit(self, images: NDArray[np.uint8]) -> Future[NDArray[np.float32]]:
        """Start computing a batch; blocks while all requests are busy.

        Args:
            images: uint8 [B, height, width, 3] with B at most the batch size.

        Returns:
            Future of the logits, float32 [B, classes], or of the EngineError of a failed computation.

        Raises:
            EngineError: the images do not fit the network, or the program is ending.
        """
        count, size = len(images), self._shape[0]
        if images.shape[1:] != self._shape[1:] or count > size or images.dtype != np.uint8:
            raise batch_error(images, f"it takes at most {list(self._shape)} of uint8, and this is {images.dtype}")
        if count < size:  # pad the last batch; the logits of the padding are dropped
            images = np.concatenate([images, np.zeros((size - count, *images.shape[1:]), np.uint8)])
        future: Future[NDArray[np.float32]] = Future()
        future.set_running_or_notify_cancel()  # so that it cannot be canceled
        self._slots.acquire()
        try:
            schedule(self._threads, self._complete, future, images, count)
        except EngineError:
            self._slots.release()
            raise
        return future

    def close(self) -> None:
        """Finish all batches, and end the threads."""
        self._threads.shutdown(wait=True)
        self._idle.clear()

    def _complete(self, future: Future[NDArray[np.float32]], images: NDArray[np.uint8], count: int) -> None:
        """Compute a batch, and give the future its logits or its error."""
        request = self._idle.popleft()
        try:
            logits = compute(request, images)[:count]
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(logits)
        finally:
            self._idle.append(request)
            self._slots.release()
            del future  # the traceback of its error refers to this frame


def compute(request: InferRequest, values: NDArray[Any]) -> NDArray[np.float32]:
    """Compute a batch in a request that no other thread uses.

    Raises:
        EngineError: the batch does not fit the network, or the computation failed.
    """
    try:
        with _STARTING:
            request.start_async([values], share_inputs=True)
        request.wait()
        return np.array(request.get_output_tensor(0).data, np.float32)
    except RuntimeError as error:
        raise batch_error(values, last_line(error)) from error


def batch_error(batch: NDArray[Any], reason: str) -> EngineError:
    """The error of a batch that cannot be computed."""
    return EngineError(f"OpenVINO cannot run a batch of shape {list(batch.shape)}: {reason}")
