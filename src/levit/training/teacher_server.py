"""Teacher in a process of its own: logits of batches of pixels, computed by OpenVINO, without torch.

`python -m levit.training.teacher_server SETTINGS` with settings as JSON reads requests from standard input and writes
one response for each to standard output, until standard input ends. A request is the number of images (uint64) and
their pixels, a response the number of bytes (int64) and the logits; both arrays are float32 in the byte order of the
machine. A negative number of bytes precedes the message of an error. The first response, without a request, are the
logits of one black image.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import last_line

REQUEST = struct.Struct("=Q")
RESPONSE = struct.Struct("=q")

# Images in an inference request: enough for every core, and few enough for the activations to stay in its cache.
_CHUNK = 16


class TeacherSettings(NamedTuple):
    """Settings of a teacher process.

    Attributes:
        graphs: files of the teachers' graphs, as OpenVINO writes them.
        shape: channels, height and width of the pixels.
        precision: "bf16" or "f32".
        threads: number of threads.
    """

    graphs: tuple[str, ...]
    shape: tuple[int, int, int]
    precision: str
    threads: int


class GraphEnsemble:
    """Compiled graphs of teachers: the mean of their logits.

    The logits of an image depend neither on the other images of its batch nor on the number of threads, so that a
    resumed run gets the same ones.

    Args:
        settings: files of the graphs, precision and threads.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        from levit.runtime.openvino_core import openvino, openvino_core

        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": settings.precision,
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": settings.threads,
        }
        core = openvino_core()
        core.set_property({"ENABLE_MMAP": False})  # the files are deleted when the process is ready
        compiled = [core.compile_model(graph, "CPU", properties) for graph in settings.graphs]
        self._queues = [openvino.AsyncInferQueue(network, settings.threads) for network in compiled]

    def __call__(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute logits: float32 [B, 3, height, width] -> float32 [B, classes]."""
        logits = [_infer(requests, pixel_values) for requests in self._queues]
        return logits[0] if len(logits) == 1 else np.mean(logits, axis=0, dtype=np.float32)


def _infer(requests: Any, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of one graph, computed in chunks in parallel."""
    chunks: list[NDArray[np.float32]] = [np.zeros(0, np.float32)] * -(-len(pixel_values) // _CHUNK)

    def keep(request: Any, number: int) -> None:
        chunks[number] = np.array(request.get_output_tensor(0).data, np.float32)

    requests.set_callback(keep)
    for number in range(len(chunks)):
        requests.start_async([pixel_values[number * _CHUNK : (number + 1) * _CHUNK]], number, share_inputs=True)
    requests.wait_all()
    return np.concatenate(chunks)


def serve(settings: TeacherSettings, requests: BinaryIO, responses: BinaryIO) -> None:
    """Compute logits until the requests end.

    A thread reads requests while others are computed, so that sending one does not wait for the computation.

    Args:
        settings: settings of the process.
        requests: stream of requests.
        responses: stream of responses.
    """
    received: queue.SimpleQueue[NDArray[np.float32] | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, settings.shape, received), daemon=True).start()
    try:
        teacher = GraphEnsemble(settings)
        _respond(responses, teacher(np.zeros((1, *settings.shape), np.float32)))
        while (pixel_values := received.get()) is not None:
            _respond(responses, teacher(pixel_values))
    except (RuntimeError, ValueError) as error:  # of OpenVINO
        message = last_line(error).encode()
        responses.write(RESPONSE.pack(-len(message)) + message)
        responses.flush()


def _receive(stream: BinaryIO, shape: Sequence[int], received: queue.SimpleQueue[NDArray[np.float32] | None]) -> None:
    while len(header := stream.read(REQUEST.size)) == REQUEST.size:
        pixel_values = np.empty((*REQUEST.unpack(header), *shape), np.float32)
        if stream.readinto(pixel_values.reshape(-1).view(np.uint8).data) != pixel_values.nbytes:  # type: ignore[attr-defined]
            break
        received.put(pixel_values)
    received.put(None)


def _respond(stream: BinaryIO, logits: NDArray[np.float32]) -> None:
    stream.write(RESPONSE.pack(logits.nbytes))
    stream.write(np.ascontiguousarray(logits).data)
    stream.flush()


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the training process finishes its step first, and ends the input
        signal.signal(number, signal.SIG_IGN)
    values = json.loads(sys.argv[1])
    settings = TeacherSettings(tuple(values["graphs"]), tuple(values["shape"]), values["precision"], values["threads"])
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(settings, sys.stdin.buffer, responses)
    os._exit(0)  # the destructors of OpenVINO's requests may abort


if __name__ == "__main__":
    main()
