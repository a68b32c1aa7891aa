"""Models of the service: opened and warmed up, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.weight_names import is_weight_file
from levit.errors import ConfigError
from levit.exporting.model_repository import NAME_PATTERN
from levit.runtime.image_results import DEFAULT_BATCH_SIZE, ImageComputation, ImageResult
from levit.runtime.model_resolution import is_artifact
from levit.runtime.opened_model import ModelOptions, OpenedModel
from levit.serving.errors import RequestError
from levit.spec.artifact import Artifact

DEFAULT_NAME = "default"
"""Name of the embedded model, and a second name of the first model."""

EMBEDDED = "-"
"""The embedded model in the arguments of the command."""

_NATIVE_BATCH_SIZE = 8  # more are no faster for one thread


@dataclass(frozen=True)
class NamedModel:
    """Model that is to be served.

    Attributes:
        name: name in addresses: letters, digits, and "._-" after the first one, at most 100.
        options: the model, and how it is opened.
    """

    name: str
    options: ModelOptions

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            hint = "give NAME=MODEL, with a name of letters, digits, '.', '_' and '-', at most 100"
            raise ConfigError(f"is {self.name!r}", source="the name of a model", hint=hint)


def parse_model(text: str) -> tuple[str, str]:
    """Split NAME=MODEL; a model without a name has that of its file or folder.

    Examples:
        >>> parse_model("cats=cats.onnx"), parse_model("runs/flowers"), parse_model("levit-128s")
        (('cats', 'cats.onnx'), ('flowers', 'runs/flowers'), ('levit-128s', 'levit-128s'))
    """
    if text == EMBEDDED:
        return DEFAULT_NAME, text
    name, separator, model = text.partition("=")
    if separator and NAME_PATTERN.fullmatch(name) and model:
        return name, model
    path = Path(text)
    if path.name in ("", ".."):
        path = path.resolve()
    is_file = is_artifact(path) or is_weight_file(path.name.lower())  # other dots are part of a name
    stem = path.stem.removesuffix(".pth") if is_file else path.name  # of .pth.tar
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-"), text


class ServedModel:
    """Opened model of the service.

    Args:
        name: its name in addresses.
        options: the model, and how it is opened.
        max_pixels: largest number of pixels of an image.

    Attributes:
        name, max_pixels: the arguments.
        opened: the opened model.
        computation: its computation of images.
        batch_size: number of decoded images that are enough for a batch under heavy load.

    Raises:
        LevitError: as `levit.Classifier`, or the network cannot compute an image.
    """

    def __init__(self, name: str, options: ModelOptions, *, max_pixels: int) -> None:
        self.name, self.max_pixels = name, max_pixels
        self.opened: OpenedModel = options.open()
        self.computation: ImageComputation = self.opened.computation(len(self.artifact.labels), max_pixels=max_pixels)
        # Others have batches of one size, and fill up smaller ones.
        self._takes_any_batch = self.opened.engine.name == "native"
        self.batch_size = _NATIVE_BATCH_SIZE if self._takes_any_batch else DEFAULT_BATCH_SIZE

    @property
    def artifact(self) -> Artifact:
        """Description of the model."""
        return self.opened.artifact

    def compute(self, names: list[str], images: list[NDArray[np.uint8]], *, is_alone: bool) -> list[ImageResult]:
        """Compute preprocessed images.

        Args:
            names: names of the images in the results.
            images: network inputs, uint8 [height, width, 3], at most DEFAULT_BATCH_SIZE of them.
            is_alone: whether no other thread has work, so that all cores compute these images.

        Raises:
            EngineError: as `ImageComputation.compute`.
        """
        is_full = len(images) == DEFAULT_BATCH_SIZE or (self._takes_any_batch and not is_alone)
        return self.computation.compute(names, images, is_full=is_full)

    def warm_up(self) -> None:
        """Compute a gray image in each way that a request can ask for, so that all networks are compiled before."""
        size = self.artifact.architecture.image_height_width
        gray = np.full((*size, 3), 128, np.uint8)
        for count in (1, DEFAULT_BATCH_SIZE):
            self.compute([""] * count, [gray] * count, is_alone=True)
        self.opened.engine.run(np.zeros((1, 3, *size), np.float32))  # normalized values of the inference protocol


class ModelTable:
    """Models of the service by name; empty until they are loaded.

    Args:
        names: names of the models, in their order.

    Raises:
        ConfigError: two models have the same name, or there is none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if not names or len(set(names)) < len(names):
            twice = next((name for name in names if names.count(name) > 1), "")
            reason = f"two models are called {twice!r}" if names else "there is no model"
            raise ConfigError(reason, hint="give each a unique name: NAME=MODEL")
        self.names = tuple(names)
        self._models: dict[str, ServedModel] = {}

    def add(self, model: ServedModel) -> None:
        """Add a model that is loaded."""
        self._models[model.name] = model

    @property
    def loaded(self) -> Mapping[str, ServedModel]:
        """The loaded models by name."""
        return self._models

    def find(self, name: str) -> ServedModel:
        """The model of a name; "default" is also the first model.

        Raises:
            RequestError: there is none, 404.
        """
        model = self._models.get(name)
        if model is None and name == DEFAULT_NAME:
            model = self._models.get(self.names[0])
        if model is None:
            raise RequestError(404, f"no model is called {name!r}: there are {', '.join(self.names)}")
        return model
