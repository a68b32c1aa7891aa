"""Classifier: images in, labels out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.cache import cache_folder
from levit.errors import CheckpointError, ImageError
from levit.runtime.engine import Engine, Precision, open_engine
from levit.runtime.image import IMAGE_TYPES, MAX_PIXELS, ImageSource, normalize, preprocess, read_image, source_name
from levit.runtime.opening import find_artifact
from levit.spec.artifact import Artifact

DEFAULT_BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class Label:
    """One class with its probability."""

    name: str
    index: int
    score: float


@dataclass(frozen=True, eq=False)  # arrays have no one truth value, so predictions are compared by identity
class Prediction:
    """What the model says of one image; `error` is set where there was none to be classified.

    Attributes:
        source: the image's path, or what kind of thing it is.
        logits: float32 [classes]; empty where there is an error.
        labels: the names of the classes.
        error: why the image could not be classified.
    """

    source: str
    logits: NDArray[np.float32] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    error: ImageError | None = None

    @property
    def scores(self) -> NDArray[np.float32]:
        """Probability of each class, float32 [classes]: the softmax of the logits."""
        if self.error is not None:
            return self.logits
        exponentials = np.exp(self.logits - self.logits.max())
        return np.asarray(exponentials / exponentials.sum(), np.float32)

    def top(self, k: int = 5) -> list[Label]:
        """The k most probable classes, best first; fewer where there are fewer classes, none after an error."""
        if k < 1:
            raise ValueError(f"k is {k}: give at least 1")
        scores = self.scores
        best = np.argsort(-scores, kind="stable")[:k]
        return [Label(self.labels[index], int(index), float(scores[index])) for index in best]


class Classifier:
    """Classifies images with an exported model or a checkpoint, without torch.

    Args:
        model: an exported `.onnx` file; a checkpoint (a folder or a `.safetensors` file), which is folded and compiled
            on the fly and cached; an opened engine; or None for the embedded model.
        engine: "auto" or "openvino".
        precision: of the arithmetic: "fp32", "bf16", or "auto" for bf16 where the processor has it.
        threads: how many to use; None leaves it to the engine.
        max_pixels: refuse larger images before they are decoded.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        ConfigError: its preprocessing does not give what the network takes.
        EngineError: the engine is missing, or cannot open the model.

    Examples:
        >>> import levit
        >>> classify = levit.Classifier()
        >>> [label.name for label in classify("examples/espresso.jpg").top(1)]
        ['espresso']
    """

    def __init__(
        self,
        model: str | Path | Engine | None = None,
        *,
        engine: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if model is None or isinstance(model, str | Path):
            self.engine: Engine = open_engine(
                find_artifact(model),
                engine=engine,
                precision=precision,
                threads=threads,
                cache_dir=cache_folder("compiled"),
            )
        else:
            self.engine = model
        self.artifact = _read_artifact(self.engine, model)
        self.artifact.preprocessing.check_fits(self.artifact.architecture.image_height_width)
        self._workers = threads or os.cpu_count() or 1
        self._max_pixels = max_pixels

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.artifact.labels

    @overload
    def __call__(self, images: ImageSource) -> Prediction: ...
    @overload
    def __call__(self, images: list[ImageSource] | tuple[ImageSource, ...]) -> list[Prediction]: ...
    def __call__(
        self, images: ImageSource | list[ImageSource] | tuple[ImageSource, ...]
    ) -> Prediction | list[Prediction]:
        """Classify one image, or a list of them.

        Args:
            images: a path, bytes, a PIL image or an array (see `levit.runtime.image.read_image`), or a list of these.

        Returns:
            One prediction, or a list in the same order, in which a bad image is reported and not raised.

        Raises:
            ImageError: the one image cannot be decoded or is refused.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images))
        logits = self.engine.run(normalize(self._prepare(images)[None], self.artifact.preprocessing))
        return Prediction(source_name(images), logits[0], self.labels)

    def stream(self, images: Iterable[ImageSource], *, batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Prediction]:
        """Classify any number of images, in order and in bounded memory.

        The next images are decoded while a batch is computed. At most three batches are in memory at a time, and no
        more is taken from `images` than that. Bad images are reported in `Prediction.error`, not raised.

        Args:
            images: anything that yields what `__call__` takes; a generator may be endless.
            batch_size: how many images to compute at once.
        """
        if isinstance(images, IMAGE_TYPES):
            raise TypeError("stream takes many images: for one, call the classifier, or give a list of it")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give at least 1")
        return self._stream(images, batch_size)

    def _stream(self, images: Iterable[ImageSource], batch_size: int) -> Iterator[Prediction]:
        sources = iter(images)
        pending: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="levit-decode")
        try:
            while True:
                for source in islice(sources, 2 * batch_size - len(pending)):
                    pending.append((source_name(source), pool.submit(self._prepare, source)))
                if not pending:
                    return
                batch = [pending.popleft() for _ in range(min(batch_size, len(pending)))]
                yield from self._classify(batch)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, source: ImageSource) -> NDArray[np.uint8]:
        return preprocess(read_image(source, max_pixels=self._max_pixels), self.artifact.preprocessing)

    def _classify(self, batch: list[tuple[str, Future[NDArray[np.uint8]]]]) -> Iterator[Prediction]:
        prepared: list[NDArray[np.uint8]] = []
        errors: list[ImageError | None] = []
        for _, future in batch:
            try:
                prepared.append(future.result())
                errors.append(None)
            except ImageError as error:
                errors.append(error)
        logits = iter(())
        if prepared:
            logits = iter(self.engine.run(normalize(np.stack(prepared), self.artifact.preprocessing)))
        nothing = np.empty(0, np.float32)
        for (name, _), failure in zip(batch, errors, strict=True):
            yield Prediction(name, nothing if failure else next(logits), self.labels, failure)


def _read_artifact(engine: Engine, model: str | Path | Engine | None) -> Artifact:
    try:
        return Artifact.from_metadata(engine.metadata)
    except CheckpointError as error:
        if isinstance(model, str | Path):
            raise CheckpointError(f"{model}: {error}") from error
        raise
