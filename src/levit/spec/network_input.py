"""Input of a network: the check of shape and dtype that all engines share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from levit.errors import EngineError
from levit.spec.architecture import Architecture

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLORS = 3  # channels of images that are normalized


@dataclass(frozen=True)
class NetworkInput:
    """Input of a network in an engine; a size is None if it is not known or not fixed.

    Attributes:
        engine: name of the engine in errors.
        channels, height, width: the sizes.

    Examples:
        >>> import numpy as np
        >>> NetworkInput("torch", height=32).check_images(np.zeros((8, 9)))
        Traceback (most recent call last):
        levit.errors.EngineError: torch cannot run a batch of shape [8, 9]: it takes [batch, 32, any, 3] of uint8, and \
        this is float64
    """

    engine: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    @classmethod
    def of_architecture(cls, engine: str, architecture: Architecture) -> NetworkInput:
        """The input of a LeViT."""
        return cls(engine, architecture.num_channels, *architecture.image_height_width)

    @classmethod
    def of_shape(cls, engine: str, shape: Sequence[object]) -> NetworkInput:
        """The input of a network by its shape [batch, channels, height, width], where only fixed sizes are numbers."""
        sizes = [size if isinstance(size, int) else None for size in shape[1:]]
        return cls(engine, *sizes) if len(shape) == 4 else cls(engine)

    def check_values(self, values: NDArray[Any]) -> None:
        """Check a batch of normalized images: float32 [B, channels, height, width].

        Raises:
            EngineError: shape or dtype do not fit.
        """
        self._check(values, (self.channels, self.height, self.width), "float32")

    def check_images(self, images: NDArray[Any]) -> None:
        """Check a batch of images: uint8 [B, height, width, 3].

        Raises:
            EngineError: shape or dtype do not fit.
        """
        self._check(images, (self.height, self.width, _COLORS), "uint8")

    def _check(self, batch: NDArray[Any], shape: tuple[int | None, ...], dtype: str) -> None:
        is_fitting = len(batch.shape) == 1 + len(shape) and all(
            expected in (None, size) for expected, size in zip(shape, batch.shape[1:], strict=True)
        )
        if not is_fitting or batch.dtype != dtype:
            sizes = ", ".join(["batch", *("any" if size is None else str(size) for size in shape)])
            raise EngineError(
                f"{self.engine} cannot run a batch of shape {list(batch.shape)}: it takes [{sizes}] of {dtype}, and "
                f"this is {batch.dtype}"
            )
