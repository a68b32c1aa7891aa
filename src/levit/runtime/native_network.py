"""Network in the native library: a packed model, and the memory and threads with which it is computed."""

from __future__ import annotations

import ctypes
import mmap
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from levit.errors import EngineError
from levit.runtime.native_format import split_metadata
from levit.runtime.native_library import chosen_instruction_set, load_library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FLOAT_BYTES = 4
COLORS = 3  # channels of images that are normalized


class NativeNetwork:
    """Packed model that the native library has opened.

    Several threads may run it; their batches are computed one after the other. `close` must not be called while one of
    them does. Its own threads start with the first batch, so that a process may be forked before.

    Args:
        packed: result of `levit.runtime.native_packing.pack`, or its copy-on-write memory map.
        threads: number of threads.
        instruction_set: name of an instruction set; None for that in the environment variable
            LEVIT_NATIVE_INSTRUCTIONS, or the fastest.

    Attributes:
        metadata: metadata of the exported file.
        instruction_set: name of the instruction set.

    Raises:
        ConfigError: the environment variable names no instruction set of the processor.
        EngineError: there is no native library, the model is damaged, or the processor lacks the instruction set.
    """

    def __init__(self, packed: Any, *, threads: int, instruction_set: str | None = None) -> None:
        self._library = load_library()
        size, self.metadata = split_metadata(memoryview(packed))
        self._file = packed if isinstance(packed, mmap.mmap) else _in_pages(packed)
        error = ctypes.c_char_p()
        self.instruction_set = instruction_set or chosen_instruction_set()
        self._first = ctypes.c_char.from_buffer(self._file)  # while it exists, the map cannot be closed
        self._handle: int | None = self._library.levit_open(
            ctypes.addressof(self._first), size, threads, self.instruction_set.encode(), ctypes.byref(error)
        )
        if not self._handle:
            raise EngineError(f"the native library cannot open it ({(error.value or b'').decode()})")
        sizes = (ctypes.c_int32 * 4)()
        self._library.levit_sizes(self._handle, sizes)
        self._channels, self._height, self._width, self._labels = sizes

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Compute logits.

        Args:
            batch: normalized values, float32 [B, channels, height, width], or pixels, uint8 [B, height, width,
                channels].

        Returns:
            Logits, float32 [B, classes].

        Raises:
            EngineError: the shape does not fit, the network is closed or takes no pixels, or there is too little
                memory.
        """
        import numpy as np

        handle = self._opened()
        is_pixels = batch.dtype == np.uint8
        if is_pixels:
            self._check_takes_pixels()
        size = (self._height, self._width)
        shape = (*size, self._channels) if is_pixels else (self._channels, *size)
        if batch.shape[1:] != shape or batch.ndim != 4 or batch.dtype not in (np.uint8, np.float32):
            reason = f"it takes {['batch', *shape]} of {'uint8' if is_pixels else 'float32'}"
            raise EngineError(f"the native engine cannot run a batch of shape {list(batch.shape)}: {reason}")
        batch = np.ascontiguousarray(batch)
        logits = np.empty((len(batch), self._labels), np.float32)
        function = self._library.levit_run_pixels if is_pixels else self._library.levit_run_values
        if function(handle, batch.ctypes.data, len(batch), logits.ctypes.data):
            raise EngineError(f"the native engine cannot run a batch of shape {list(batch.shape)}: out of memory")
        return logits

    def run_bytes(self, images: Sequence[bytes]) -> list[array[float]]:
        """Compute logits without numpy, see `levit.runtime.engine.ByteEngine`."""
        handle = self._opened()
        self._check_takes_pixels()
        size = self._height * self._width * self._channels
        if any(len(image) != size for image in images):
            reason = f"an image has {size} bytes: {self._height}x{self._width} pixels of {self._channels}"
            raise EngineError(f"the native engine cannot run images of another size: {reason}")
        logits = array("f", bytes(len(images) * self._labels * _FLOAT_BYTES))
        if self._library.levit_run_pixels(handle, b"".join(images), len(images), logits.buffer_info()[0]):
            raise EngineError(f"the native engine cannot run {len(images)} images: out of memory")
        return [logits[start : start + self._labels] for start in range(0, len(logits), self._labels)]

    def _opened(self) -> int:
        """Handle of the library.

        Raises:
            EngineError: the network is closed.
        """
        if self._handle is None:
            raise EngineError("the native network is closed", hint="open a new one")
        return self._handle

    def _check_takes_pixels(self) -> None:
        """Refuse pixels where the model has no mean and deviation for them."""
        if self._channels != COLORS:
            reason = f"the native engine normalizes images of {COLORS} channels, not of {self._channels}"
            raise EngineError(reason, hint="give normalized values to `run`")

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


def _in_pages(content: bytes | memoryview) -> mmap.mmap:
    """Copy content to memory that is aligned as the library requires."""
    size = memoryview(content).nbytes
    memory = mmap.mmap(-1, size) if sys.platform == "win32" else mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE)
    memory.write(content)
    return memory
