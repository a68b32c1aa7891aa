"""Classifier: images in, labels out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.hub import check_no_revision
from levit.errors import CheckpointError, ConfigError, EngineError, ImageError
from levit.images.decoding import IMAGE_TYPES, MAX_PIXELS, ImageSource, describe_source, snapshot_source
from levit.images.transform import normalize, read_and_preprocess
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import Engine, ImageEngine, Precision
from levit.runtime.model_resolution import open_model
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Artifact

DEFAULT_BATCH_SIZE = 16


class Classifier:
    """Classifies images with an exported model or a checkpoint, without torch.

    Args:
        model: an exported `.onnx` file; a checkpoint (what `levit.read_checkpoint` takes or gives), which is folded and
            compiled on the fly and cached; an opened engine; or None for the embedded model.
        engine: "openvino", "onnxruntime", for checkpoints also "torch", or "auto" for the fastest that is installed.
        precision: of the arithmetic; "auto" is int8 where the file is quantized, otherwise bf16 where the processor
            has it, or else "fp32".
        threads: how many to use; None for the cores that this process may use.
        provider: where onnxruntime runs ("cpu", "cuda"), or the device of torch ("cpu", "cuda", "mps").
        max_pixels: refuse larger images before they are decoded.
        preprocessing: "fast", within 0.05 gray levels of Pillow in the mean (1 for JPEG files several times as large
            as needed, which are decoded at a fraction of their size); or "exact", bit for bit as Pillow.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Raises:
        CheckpointError: there is no such model, it is damaged, or it has no revisions.
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
        model: str | Path | Checkpoint | Engine | None = None,
        *,
        engine: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
        preprocessing: Literal["fast", "exact"] = "fast",
        provider: str | None = None,
        revision: str | None = None,
    ) -> None:
        if model is None or isinstance(model, str | Path | Checkpoint):
            self.engine = open_model(
                model, engine=engine, precision=precision, threads=threads, provider=provider, revision=revision
            )
        elif isinstance(model, Engine):
            check_no_revision(revision, type(model).__name__, "an opened engine")
            self.engine = model
        else:
            raise TypeError(f"model is a {type(model).__name__}: give a path, a name, a checkpoint or an engine")
        self.artifact = _read_artifact(self.engine, model)
        rejection = self.artifact.rejection
        temperature, threshold = (rejection.temperature, rejection.threshold) if rejection else (1.0, 0.0)
        self._scoring = (temperature, threshold, self.artifact.is_multi_label)
        self._workers = threads or usable_cores()
        self._max_pixels = max_pixels
        if preprocessing not in ("fast", "exact"):
            raise ConfigError(f"preprocessing is {preprocessing!r}: use fast or exact")
        self._exact = preprocessing == "exact"

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
            images: a path, bytes, a PIL image or an array (see `levit.images.decoding.read_image`), or a list of these.

        Returns:
            One prediction, or a list in the same order, in which a bad image is reported and not raised.

        Raises:
            ImageError: the one image cannot be decoded or is refused.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images))
        (logits,) = self._run([self._prepare(images)])
        return Prediction(describe_source(images), logits, self.labels, None, *self._scoring)

    def stream(self, images: Iterable[ImageSource], *, batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Prediction]:
        """Classify any number of images, in order and in bounded memory.

        The next images are decoded while others are computed. At most two batches are being decoded and one on each
        core computed, and no more is taken from `images` than that. Bad images are reported in `Prediction.error`, not
        raised; what `images` itself raises ends the stream.

        Args:
            images: anything that yields what `__call__` takes; a generator may be endless, and may fill the same array
                again and again.
            batch_size: how many images to compute at once.

        Raises:
            TypeError: `images` is one image.
            ValueError: `batch_size` is less than 1.
        """
        if isinstance(images, IMAGE_TYPES):
            raise TypeError("stream takes many images: for one, call the classifier, or give a list of it")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give at least 1")
        return self._stream(iter(images), batch_size)

    def _stream(self, sources: Iterator[ImageSource], batch_size: int) -> Iterator[Prediction]:
        decoding: deque[tuple[str, Future[NDArray[np.uint8]]]] = deque()
        computing: deque[_Batch] = deque()
        decoders = ThreadPoolExecutor(self._workers, thread_name_prefix="levit-decode")
        computer = ThreadPoolExecutor(1, thread_name_prefix="levit-compute")
        try:
            while True:
                for source in islice(sources, 2 * batch_size - len(decoding)):
                    decoding.append((describe_source(source), decoders.submit(self._prepare, snapshot_source(source))))
                if not decoding:
                    break
                batch = _Batch([decoding.popleft() for _ in range(min(batch_size, len(decoding)))])
                alone = not computing and not decoding and len(batch.images) < batch_size
                batch.logits = self._submit(batch.images, None if alone else batch_size, computer)
                computing.append(batch)
                while computing and (computing[0].is_done() or len(computing) > self._workers):
                    yield from self._predictions(computing.popleft())
            for batch in computing:
                yield from self._predictions(batch)
        finally:
            for pool in (decoders, computer):
                pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, source: ImageSource) -> NDArray[np.uint8]:
        return read_and_preprocess(source, self.artifact.preprocessing, max_pixels=self._max_pixels, exact=self._exact)

    def _submit(
        self, images: list[NDArray[np.uint8]], batch_size: int | None, computer: ThreadPoolExecutor
    ) -> Future[NDArray[np.float32]] | None:
        """Start to compute a batch; one without a batch size is the only one, and its answer is wanted soon."""
        if not images:
            return None
        if batch_size is not None and isinstance(self.engine, ImageEngine):
            return self.engine.submit(np.stack(images), batch_size)
        return computer.submit(self._run, images)

    def _predictions(self, batch: _Batch) -> Iterator[Prediction]:
        logits = iter(self._checked(batch.logits.result(), len(batch.images)) if batch.logits else ())
        nothing = np.empty(0, np.float32)
        for name, failure in zip(batch.names, batch.failures, strict=True):
            yield Prediction(name, nothing if failure else next(logits), self.labels, failure, *self._scoring)

    def _run(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Logits of a few images, as soon as possible."""
        stacked = np.stack(images)
        if isinstance(self.engine, ImageEngine):
            return self._checked(self.engine.run_images(stacked), len(images))
        return self._checked(self.engine.run(normalize(stacked, self.artifact.preprocessing)), len(images))

    def _checked(self, logits: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if logits.shape != (count, len(self.labels)):
            raise EngineError(
                f"{self.artifact.source.name}: the network gives {list(logits.shape)} for {count} images and "
                f"{len(self.labels)} labels: export the checkpoint again"
            )
        return logits


class _Batch:
    """Images that are computed together, and those among them that could not be decoded.

    Args:
        decoding: name and result of each, waited for here.
    """

    def __init__(self, decoding: list[tuple[str, Future[NDArray[np.uint8]]]]) -> None:
        self.names = [name for name, _ in decoding]
        self.images: list[NDArray[np.uint8]] = []
        self.failures: list[ImageError | None] = []
        self.logits: Future[NDArray[np.float32]] | None = None
        for _, future in decoding:
            try:
                self.images.append(future.result())
                self.failures.append(None)
            except ImageError as error:
                self.failures.append(_without_history(error))

    def is_done(self) -> bool:
        """Whether its answers can be had without waiting."""
        return self.logits is None or self.logits.done()


def _read_artifact(engine: Engine, model: object) -> Artifact:
    """What the engine's model carries, checked to be usable for classifying images."""
    name = f"{model}: " if isinstance(model, str | Path) else ""
    try:
        artifact = Artifact.from_metadata(engine.metadata)
    except CheckpointError as error:
        raise CheckpointError(f"{name}{error}") from error
    if artifact.architecture.num_channels != 3:
        raise ConfigError(f"{name}the network takes {artifact.architecture.num_channels} channels, and images have 3")
    artifact.preprocessing.check_fits(artifact.architecture.image_height_width)
    return artifact


def _without_history(error: ImageError) -> ImageError:
    """The error without the frames that led to it, which would keep the image in memory as long as the prediction."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
