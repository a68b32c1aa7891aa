"""Images of a stream that threads decode, and the batches that they become."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, Union

from PIL.Image import Image

from levit.errors import ImageError, without_frames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pixels = Union[Image, "NDArray[np.uint8]"]
"""Network input: uint8 [height, width, 3], or before numpy is imported the image."""


class DecodingImage(NamedTuple):
    """Image that a thread decodes, with its name for the prediction."""

    name: str
    image: Future[Pixels]


class DecodedBatch(NamedTuple):
    """Decoded images of a batch; `names` and `errors` also contain the images that could not be decoded."""

    names: list[str]
    images: list[Pixels]
    errors: list[ImageError | None]


def collect(decoding: list[DecodingImage]) -> DecodedBatch:
    """Wait for the images of a batch."""
    batch = DecodedBatch([item.name for item in decoding], [], [])
    for item in decoding:
        try:
            batch.images.append(item.image.result())
            batch.errors.append(None)
        except ImageError as error:
            batch.errors.append(without_frames(error))
    return batch
