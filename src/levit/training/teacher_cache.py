"""Teacher whose logits are computed once for a fixed number of augmentations of each training image, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from levit.errors import LevitError
from levit.files import replacing
from levit.training.teacher_process import TeacherProcess

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
        """Size in bytes: float16 [images, views, classes + 1]; the last value of a row is 1 once it is complete."""
        return 2 * self.images * self.views * (self.classes + 1)


class CachedTeacher:
    """Frozen teacher, computed once for each augmentation of each image (fast knowledge distillation).

    An image has a fixed number of augmentations, its views, so that its logits are those of the pixels that the student
    sees (Shen and Xing, arXiv 2112.01528). They are computed when a view occurs for the first time, rounded to float16,
    and kept in a file, which a resumed run continues to use.

    Args:
        teacher: the teacher: a process, or a network on the device of the training.
        file: file of the logits, from `create_cache_file`.
        shape: number of images, views and classes.
        autocast: context in which a network is computed.

    Raises:
        LevitError: the file has another size.
    """

    def __init__(
        self,
        teacher: TeacherProcess | nn.Module,
        file: Path,
        shape: CacheShape,
        *,
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._teacher, self._autocast = teacher, autocast
        if (size := file.stat().st_size) != shape.nbytes:
            raise LevitError(f"is damaged: {size:,} bytes instead of {shape.nbytes:,}", source=file, hint="delete it")
        self._logits: NDArray[np.float16] = np.memmap(
            file, np.float16, "r+", shape=(shape.images, shape.views, shape.classes + 1)
        )
        self._pending: list[tuple[Tensor, Tensor | None]] = []

    def submit(self, samples: Tensor, pixel_values: Tensor) -> None:
        """Start computing the logits of those samples that have none; `collect` returns those of all.

        Args:
            samples: int64 [B, 2]: index of the image, and number of its view.
            pixel_values: float32 [B, 3, height, width], normalized for the student.

        Raises:
            LevitError: the process of the teacher has ended.
        """
        missing = torch.from_numpy(self._read(samples)[:, -1] == 0).nonzero()[:, 0]
        computed = None
        if len(missing):
            pixels = pixel_values[missing.to(pixel_values.device)]
            if isinstance(self._teacher, TeacherProcess):
                self._teacher.submit(pixels)
            else:
                with self._autocast():
                    computed = self._teacher(pixels)
        self._pending.append((samples[missing], computed))

    def collect(self, samples: Tensor) -> Tensor:
        """Wait for the logits of the oldest samples that were submitted: float32 [B, classes].

        Raises:
            LevitError: the process of the teacher has ended, or cannot compute them.
        """
        missing, computed = self._pending.pop(0)
        if len(missing):
            if isinstance(self._teacher, TeacherProcess):
                computed = self._teacher.collect(len(missing))
            assert computed is not None  # noqa: S101
            images, views = missing.numpy().T
            self._logits[images, views, :-1] = computed.float().cpu().numpy()
            self._logits[images, views, -1] = 1  # afterwards, because the process may be killed at any time
        return torch.from_numpy(self._read(samples)[:, :-1].astype(np.float32))

    def close(self) -> None:
        """End the process of the teacher."""
        if isinstance(self._teacher, TeacherProcess):
            self._teacher.close()

    def _read(self, samples: Tensor) -> NDArray[np.float16]:
        images, views = samples.numpy().T
        return self._logits[images, views]


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
        for other in set(file.parent.glob("logits-*.f16")) - {file}:
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
