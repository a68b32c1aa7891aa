"""Network in the native library: a packed model, and the memory and threads with which it is computed."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError
from levit.runtime.native_format import split_metadata
from levit.runtime.native_library import INSTRUCTIONS_VARIABLE, load_library

_ALIGNMENT = 64


class NativeNetwork:
    """Packed model that the native library has opened.

    Several threads may run it; their batches are computed one after the other. Its own threads start with the first
    batch, so that a process may be forked before.

    Args:
        packed: result of `levit.runtime.native_packing.pack`; it may be a memory map.
        threads: number of threads.
        instruction_set: name of an instruction set; None for that in the environment variable
            LEVIT_NATIVE_INSTRUCTIONS, or the fastest.

    Attributes:
        metadata: metadata of the exported file.
        instruction_set: name of the instruction set.

    Raises:
        EngineError: there is no native library, the model is damaged, or the processor lacks the instruction set.
    """

    def __init__(self, packed: Any, *, threads: int, instruction_set: str | None = None) -> None:
        self._library = load_library()
        size, self.metadata = split_metadata(memoryview(packed))
        self._file = _aligned(np.frombuffer(packed, np.uint8))
        error = ctypes.c_char_p()
        name = instruction_set or os.environ.get(INSTRUCTIONS_VARIABLE)
        self._handle: int | None = self._library.levit_open(
            self._file.ctypes.data, size, threads, name.encode() if name else None, ctypes.byref(error)
        )
        if not self._handle:
            raise EngineError(f"the native library cannot open it ({(error.value or b'').decode()})")
        sizes = np.empty(4, np.int32)
        self._library.levit_sizes(self._handle, sizes.ctypes.data)
        self._channels, self._height, self._width, self._labels = map(int, sizes)
        self.instruction_set: str = self._library.levit_target(self._handle).decode()

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Compute logits.

        Args:
            batch: normalized values, float32 [B, channels, height, width], or pixels, uint8 [B, height, width,
                channels].

        Returns:
            Logits, float32 [B, classes].

        Raises:
            EngineError: the shape does not fit, or there is too little memory.
        """
        is_pixels = batch.dtype == np.uint8
        size = (self._height, self._width)
        shape = (*size, self._channels) if is_pixels else (self._channels, *size)
        if batch.shape[1:] != shape or batch.ndim != 4 or batch.dtype not in (np.uint8, np.float32):
            reason = f"it takes {['batch', *shape]} of {'uint8' if is_pixels else 'float32'}"
            raise EngineError(f"the native engine cannot run a batch of shape {list(batch.shape)}: {reason}")
        batch = np.ascontiguousarray(batch)
        logits = np.empty((len(batch), self._labels), np.float32)
        function = self._library.levit_run_pixels if is_pixels else self._library.levit_run_values
        if function(self._handle, batch.ctypes.data, len(batch), logits.ctypes.data):
            raise EngineError(f"the native engine cannot run a batch of shape {list(batch.shape)}: out of memory")
        return logits

    def share(self, *, threads: int) -> NativeNetwork:
        """Another network with the same weights in memory, and threads of its own.

        Args:
            threads: number of threads.

        Raises:
            EngineError: there is too little memory.
        """
        return NativeNetwork(self._file, threads=threads, instruction_set=self.instruction_set)

    def close(self) -> None:
        """Free the memory and the threads; a second call does nothing."""
        handle, self._handle = self._handle, None
        if handle:
            self._library.levit_close(handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()


def _aligned(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the content at an address that is a multiple of 64, where a memory map is already."""
    if content.ctypes.data % _ALIGNMENT == 0:
        return content
    memory = np.empty(len(content) + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    aligned = memory[start : start + len(content)]
    aligned[:] = content
    return aligned
