"""Teacher whose logits are computed once for a fixed number of augmentations of each training image, and kept."""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from levit.errors import LevitError
from levit.files import replacing

TEACHER_LOGITS = ".teacher"  # folder in the run directory, deleted when the run is complete

_ZEROS = bytes(1 << 24)  # written in pieces of this size


class CacheShape(NamedTuple):
    """Shape of the kept logits.

    Attributes:
        images: number of training images.
        views: number of augmentations of an image.
        classes: number of classes.
    """

    images: int
    views: int
    classes: int

    @property
    def nbytes(self) -> int:
        """Size in bytes: float16 [images, views, classes + 1]; the last two bytes of a row are its checksum."""
        return 2 * self.images * self.views * (self.classes + 1)


class BatchTeacher(Protocol):
    """Teacher that is given batches and returns their logits in order: a `TeacherProcess` or a `NetworkTeacher`."""

    def submit(self, pixel_values: Tensor) -> None:
        """Start computing the logits of a batch: float32 [B, 3, height, width], normalized for the student."""
        ...

    def collect(self, batch_size: int) -> Tensor:
        """Wait for the logits of the oldest batch that was submitted: float32 [B, classes]."""
        ...

    def close(self) -> None:
        """End the process of the teacher, if it has one."""
        ...


class NetworkTeacher:
    """Teacher that is a network on the device of the training; it computes a batch when it is submitted.

    Args:
        network: the frozen network.
        autocast: context in which it is computed.
    """

    def __init__(self, network: nn.Module, *, autocast: Callable[[], AbstractContextManager[None]]) -> None:
        self._network, self._autocast = network, autocast
        self._computed: deque[Tensor] = deque()

    def submit(self, pixel_values: Tensor) -> None:
        """Compute the logits of a batch; `collect` returns them."""
        with self._autocast():
            self._computed.append(self._network(pixel_values))

    def collect(self, batch_size: int) -> Tensor:
        """The logits of the oldest batch that was submitted, [B, classes]."""
        return self._computed.popleft()

    def close(self) -> None:
        """Do nothing: there is no process."""


class CachedTeacher:
    """Frozen teacher, computed once for each augmentation of each image (fast knowledge distillation).

    An image has a fixed number of augmentations, its views, so that its logits are those of the pixels that the student
    sees (Shen and Xing, arXiv 2112.01528). They are computed when a view occurs for the first time, rounded to float16,
    and kept in a file, which a resumed run continues to use. After a power loss, some parts of a row may be on the disk
    and others not; its checksum shows it, and the row is computed again.

    Args:
        teacher: the teacher.
        file: file of the logits, from `create_cache_file`.
        shape: number of images, views and classes.

    Raises:
        LevitError: the file has another size.
    """

    def __init__(self, teacher: BatchTeacher, file: Path, shape: CacheShape) -> None:
        self._teacher = teacher
        if (size := file.stat().st_size) != shape.nbytes:
            raise LevitError(f"is damaged: {size:,} bytes instead of {shape.nbytes:,}", source=file, hint="delete it")
        self._rows: NDArray[np.uint16] = np.memmap(
            file, np.uint16, "r+", shape=(shape.images, shape.views, shape.classes + 1)
        )
        self._pending: deque[Tensor] = deque()  # samples that the teacher computes

    def submit(self, samples: Tensor, pixel_values: Tensor) -> None:
        """Start computing the logits of those samples that have none; `collect` returns those of all.

        Args:
            samples: int64 [B, 2]: index of the image, and number of its view.
            pixel_values: float32 [B, 3, height, width], normalized for the student.

        Raises:
            LevitError: the process of the teacher has ended.
        """
        rows = self._read(samples)
        is_complete = rows[:, -1] == _checksums(rows[:, :-1])
        missing = torch.from_numpy(~is_complete).nonzero()[:, 0]
        if len(missing):
            self._teacher.submit(pixel_values[missing.to(pixel_values.device)])
        self._pending.append(samples[missing])

    def collect(self, samples: Tensor) -> Tensor:
        """Wait for the logits of the oldest samples that were submitted: float32 [B, classes].

        Raises:
            LevitError: the process of the teacher has ended, or cannot compute them.
        """
        missing = self._pending.popleft()
        if len(missing):
            computed = self._teacher.collect(len(missing))
            images, views = missing.numpy().T
            logits = computed.float().cpu().numpy().astype(np.float16).view(np.uint16)
            self._rows[images, views] = np.concatenate([logits, _checksums(logits)[:, None]], axis=1)
        return torch.from_numpy(self._read(samples)[:, :-1].copy().view(np.float16).astype(np.float32))

    def close(self) -> None:
        """End the process of the teacher."""
        self._teacher.close()

    def _read(self, samples: Tensor) -> NDArray[np.uint16]:
        images, views = samples.numpy().T
        return self._rows[images, views]


def _checksums(logits: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Checksum of each row of logits; an odd number, and thus not that of an empty row."""
    return np.array([zlib.crc32(row.tobytes()) & 0xFFFF | 1 for row in logits], np.uint16)


def create_cache_file(run: Path, shape: CacheShape, *identity: object) -> Path:
    """Create the file of a teacher's logits, without any, unless it exists; files of another identity are deleted.

    Args:
        run: the run directory.
        shape: number of images, views and classes.
        *identity: everything that the logits depend on; another identity has another file.

    Returns:
        Path of the file.

    Raises:
        LevitError: the disk is full, or the file cannot be written.
    """
    digest = hashlib.blake2b(repr((shape, *identity)).encode(), digest_size=8).hexdigest()
    file = run / TEACHER_LOGITS / f"logits-{digest}.f16"
    try:
        file.parent.mkdir(exist_ok=True)
        for other in set(_cache_files(run)) - {file}:
            other.unlink(missing_ok=True)
        if not file.exists():  # not sparse: a full disk would end the process when a page is written
            with replacing(file) as partial, partial.open("wb") as stream:
                for start in range(0, shape.nbytes, len(_ZEROS)):
                    stream.write(_ZEROS[: shape.nbytes - start])
    except OSError as error:
        hint = "use fewer `teacher_views`, or another disk" if error.errno in (ENOSPC, EDQUOT) else None
        reason = f"cannot write the logits of the teacher, {shape.nbytes / 1e6:,.0f} MB ({error.strerror})"
        raise LevitError(reason, source=file, hint=hint) from error
    return file


def size_of_cache_files(run: Path) -> int:
    """Size in bytes of the files of a teacher's logits in a run directory, which the file of the run may replace."""
    return sum(file.stat().st_size for file in _cache_files(run))


def _cache_files(run: Path) -> Iterator[Path]:
    return (run / TEACHER_LOGITS).glob("logits-*.f16")
