"""Teacher in a process of its own, seen from the training process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from typing import IO

import numpy as np
import torch
from torch import Tensor

from levit.errors import LevitError
from levit.training import teacher_server
from levit.training.teacher_server import REQUEST, RESPONSE, TeacherSettings
from levit.training.worker_processes import RESPONSE_SECONDS, Deadline, killed_after

_CLOSE_SECONDS = 1.0  # in which the process has to end when its input does
_MAX_ERROR_BYTES = 4096
_IMAGES_PER_WAIT = 60  # the largest teachers need seconds for an image on two cores


class TeacherProcess:
    """Teachers that OpenVINO computes in a process of its own.

    The process ends with its standard input: by `close`, and when this process is killed.

    Args:
        settings: graphs, pixels, precision and threads.
        source: source of errors.
        max_wait: seconds in which it has to start, and to compute a batch, with as much again for every 60 images; then
            it is killed.

    Attributes:
        max_wait: the argument.

    Raises:
        LevitError: the process cannot start or compute.
    """

    def __init__(self, settings: TeacherSettings, *, source: str, max_wait: float = RESPONSE_SECONDS) -> None:
        self.max_wait = max_wait
        self._source, self._shape = source, settings.shape
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter
            [sys.executable, "-m", teacher_server.__name__, json.dumps(settings._asdict())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            start_new_session=True,  # signals of the terminal are for the training process
        )  # fmt: skip
        self._finalizer = weakref.finalize(self, _end, self._process, self._errors)
        self._receive(1)  # it has started

    def submit(self, pixel_values: Tensor) -> None:
        """Start computing the logits of a batch; `collect` returns them.

        Args:
            pixel_values: float32 [B, 3, height, width], normalized for the student.

        Raises:
            LevitError: the process has ended.
        """
        values = pixel_values.detach().float().contiguous().cpu().numpy()
        if values.shape[1:] != tuple(self._shape):
            raise ValueError(f"pixels of shape {values.shape[1:]}, and the teacher was opened for {self._shape}")
        stream = self._stream(self._process.stdin)
        with killed_after(self.max_wait, [self._process]) as deadline:
            try:
                stream.write(REQUEST.pack(len(values)))
                stream.write(values.reshape(-1).view(np.uint8).data)
                stream.flush()
            except OSError as error:
                raise self._failure(deadline) from error

    def collect(self, batch_size: int) -> Tensor:
        """Wait for the logits of the oldest batch that was submitted: float32 [B, classes].

        Raises:
            LevitError: the process has ended, or cannot compute the batch.
        """
        return torch.from_numpy(self._receive(batch_size))

    def __call__(self, pixel_values: Tensor) -> Tensor:
        """Compute logits of the student's classes; see `Teacher.forward`."""
        self.submit(pixel_values)
        return self.collect(len(pixel_values)).to(pixel_values.device)

    def close(self) -> None:
        """End the process."""
        self._finalizer()

    def _receive(self, batch_size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        stream = self._stream(self._process.stdout)
        with killed_after(self.max_wait * (1 + batch_size / _IMAGES_PER_WAIT), [self._process]) as deadline:
            header = stream.read(RESPONSE.size)
            if len(header) < RESPONSE.size:
                raise self._failure(deadline)
            (size,) = RESPONSE.unpack(header)
            content = stream.read(abs(size))
        if size < 0:
            raise LevitError(f"OpenVINO cannot compute it ({content.decode(errors='replace')})", source=self._source)
        if len(content) < size:
            raise self._failure(deadline)
        return np.frombuffer(bytearray(content), np.float32).reshape(batch_size, -1)

    def _failure(self, deadline: Deadline) -> LevitError:
        """Error for a process that has ended, with the last line that it printed, or did not respond."""
        if deadline.has_passed:
            hint = "see whether the machine has enough memory, and continue with `resume`"
            return LevitError("its process did not respond, and was ended", source=self._source, hint=hint)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._errors.seek(max(0, self._errors.seek(0, 2) - _MAX_ERROR_BYTES))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        reason = f"its process ended with exit code {self._process.poll()}{f' ({lines[-1]})' if lines else ''}"
        return LevitError(reason, source=self._source, hint="see whether the memory is full")

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None  # noqa: S101  # both are pipes
        return stream


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """End a process by closing its input; it is killed if it does not end within a second."""
    with killed_after(_CLOSE_SECONDS, [process]):  # closing the input writes what a signal has left unwritten
        for stream in (process.stdin, process.stdout, errors):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait()
