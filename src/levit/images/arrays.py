"""Arrays and tensors of any layout and type that images have, as the pixels that Pillow reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levit.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)
_EXPECTED = "uint8, bool, floating-point or gray uint16, [height, width] or with 1, 3 or 4 channels"


def as_pixels(array: NDArray[Any], name: str, *, kind: str = "an array") -> NDArray[Any]:
    """Convert an array to pixels with the channels last.

    Channels may be first or last. Where both could be, they are last in an array of numpy, and first in a tensor.

    Args:
        array: uint8, bool, or floating-point in [0, 1]: [height, width], or with 1, 3 or 4 channels; or gray uint16.
        name: name of the image for errors.
        kind: "an array" or "a tensor".

    Returns:
        uint8 [height, width], [height, width, 3] or [height, width, 4], or uint16 [height, width]; the array itself
        if it is of this form.

    Raises:
        ImageError: the array is of another form, or a floating-point value is not in [0, 1].

    Examples:
        >>> import numpy as np
        >>> as_pixels(np.ones((3, 480, 640), np.float32), "image").shape
        (480, 640, 3)
    """
    pixels = _with_channels_last(array, is_first_preferred=kind == "a tensor")
    if pixels.ndim in (2, 3) and pixels.dtype.kind in "bf":
        pixels = _as_bytes(pixels, name)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    is_gray = pixels.ndim == 2 and pixels.dtype in ("uint8", "uint16")
    is_color = pixels.ndim == 3 and pixels.shape[2] in _CHANNELS and pixels.dtype == "uint8"
    if not (is_gray or is_color):
        hint = "give the images of a batch one by one, or as a list" if array.ndim == 4 else None
        raise ImageError(f"{kind} must be {_EXPECTED}, not {array.dtype} {list(array.shape)}", source=name, hint=hint)
    return pixels


def _with_channels_last(array: NDArray[Any], *, is_first_preferred: bool) -> NDArray[Any]:
    """View of an array with the channels last; that of one channel has two dimensions."""
    if array.ndim != 3:
        return array
    is_first = array.shape[0] in _CHANNELS and (is_first_preferred or array.shape[2] not in _CHANNELS)
    array = array.transpose(1, 2, 0) if is_first else array
    return array[..., 0] if array.shape[2] == 1 else array


def _as_bytes(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Scale values in [0, 1] to uint8."""
    import numpy as np

    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        hint = "divide by 255, and leave out the normalization"
        raise ImageError("floating-point values must be from 0 to 1", source=name, hint=hint)
    return np.rint(array.astype(np.float32, copy=False) * 255).astype(np.uint8)
