"""Explanation of a prediction: a value for every pixel of the image."""

from __future__ import annotations

import errno
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levit.errors import ConfigError
from levit.explaining.view import View
from levit.files import replacing
from levit.images.decoding import MAX_PIXELS, ImageSource, read_reduced_image
from levit.runtime.prediction import UNKNOWN, Label
from levit.spec.architecture import Grid


@dataclass(frozen=True, eq=False)
class Explanation:
    """Map of an image: how much the score of a class depends on each part of it.

    `numpy.asarray(explanation)` is `explanation.heat`.

    Attributes:
        source: path of the image, or a description of an image in memory.
        method: name of the method, as in `levit.explain`.
        label: the class that is explained, with its score for the whole image.
        is_unknown: True for the most probable class of an image that the model rejects, because its score is too low.
        is_class_specific: False for rollout, whose map is the same for every class.
        values: float32 [rows, columns], in the resolution of the method, over the part of the image that the network
            sees. Units: a decrease of the log-odds of the class, at temperature 2, for "occlusion" (a difference to the
            mean for "rise"), the logit of the class for "cam", a relevance of at least 0 for the others.
        view: the part of the image that the network sees, in pixels of the image.
        size: height and width of the upright image in pixels.
        image: the image.
    """

    source: str
    method: str
    label: Label
    is_unknown: bool
    is_class_specific: bool
    values: NDArray[np.float32]
    view: View
    size: Grid
    image: ImageSource = field(repr=False)
    max_pixels: int = field(default=MAX_PIXELS, repr=False)

    @cached_property
    def heat(self) -> NDArray[np.float32]:
        """The map in pixels of the upright image: float32 [height, width], interpolated, 0 outside the view."""
        return self.view.to_image(self.values, self.size)

    @property
    def relative(self) -> NDArray[np.float32]:
        """The values for display, float32 [rows, columns] in [0, 1]: 0 up to their median, 1 for the largest.

        The signs are those of `values`: where the whole map is negative, the score rises without any part, and the
        picture shows the parts without which it rises least.
        """
        above = np.maximum(self.values - np.median(self.values), 0)
        largest = above.max()
        return np.asarray(above / largest if largest > 0 else above, np.float32)

    @property
    def title(self) -> str:
        """The class with its score in percent; of a rejected image with the label "unknown" before it."""
        name = f"{UNKNOWN} ({self.label.name}?)" if self.is_unknown else self.label.name
        return f"{name} {100 * self.label.score:.1f} %"

    def describe(self) -> str:
        """The title and the method, as text on one line."""
        note = "" if self.is_class_specific else ", the same for every class"
        return f"{self.title} ({self.method}{note})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The map in pixels of the image, for numpy."""
        heat = self.heat if dtype is None else self.heat.astype(dtype)
        return heat.copy() if copy else heat

    def overlay(self, max_side: int = 1600) -> Image.Image:
        """The image with the map over it, and a caption with label, score and method.

        Args:
            max_side: largest width and height of the picture without its caption, in pixels; at least 1.

        Returns:
            An RGB image.
        """
        from levit.explaining.overlay import draw_overlay

        side = 2 * max_side * min(self.size) // max(self.size)  # of the shorter side, twice as large as it is drawn
        if self.size[0] * self.size[1] > self.max_pixels:  # accepted, because it can be decoded at half its size
            side = min(side, min(self.size) // 2)
        return draw_overlay(self, read_reduced_image(self.image, max(1, side), max_pixels=self.max_pixels)[0], max_side)

    def save(self, file: str | PathLike[str]) -> None:
        """Write the overlay as a picture, or the map as an array of numpy.

        Args:
            file: name with the suffix .png, .jpg or .webp for the overlay, .npy for `heat`.

        Raises:
            ConfigError: another suffix, or a folder that does not exist.
        """
        path = Path(file)
        kind = check_target(path)
        with replacing(path) as temporary:
            if kind == "NPY":
                with temporary.open("wb") as stream:
                    np.save(stream, self.heat)
            else:
                self.overlay().save(temporary, kind)

    def to_dict(self) -> dict[str, Any]:
        """The explanation as values that JSON can store; the same that `levit explain --json` prints.

        Returns:
            `{"file": …, "method": …, "label": {"name": …, "index": …, "score": …}, "is_unknown": …,
            "is_class_specific": …, "width": …, "height": …, "view": {"top": …, "left": …, "height": …, "width": …},
            "values": [[…]], "relative": [[…]]}`; rows of `values` from top to bottom, six significant digits.
        """
        return {
            "file": self.source,
            "method": self.method,
            "label": asdict(self.label),
            "is_unknown": self.is_unknown,
            "is_class_specific": self.is_class_specific,
            "width": self.size[1],
            "height": self.size[0],
            "view": {name: round(value, 2) for name, value in asdict(self.view).items()},
            "values": [[float(f"{value:.6g}") for value in row] for row in self.values.tolist()],
            "relative": [[round(value, 4) for value in row] for row in self.relative.tolist()],
        }


_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".npy": "NPY"}


def check_target(file: Path) -> str:
    """Format of an output file by its suffix, before anything is computed for it.

    Raises:
        ConfigError: the suffix is of no known format, or the folder does not exist.
    """
    kind = _KINDS.get(file.suffix.lower())
    if kind is None:
        raise ConfigError(f"has the suffix {file.suffix!r}", source=file, hint=f"use {', '.join(_KINDS)}")
    if not file.parent.is_dir():
        raise ConfigError(f"cannot be written ({os.strerror(errno.ENOENT)})", source=file)
    return kind
