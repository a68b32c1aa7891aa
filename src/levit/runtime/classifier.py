"""Image classifier: images in, labels out."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.weight_lookup import check_no_revision
from levit.errors import CheckpointError, ConfigError, EngineError, ImageError
from levit.images.decoding import IMAGE_TYPES, MAX_PIXELS, ImageSource, describe_source, snapshot_source
from levit.images.transform import read_and_preprocess
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule
from levit.runtime.cpu_count import usable_cores
from levit.runtime.decoded_batch import DecodedBatch, DecodingImage, collect
from levit.runtime.engine import Engine, Precision, validate_options
from levit.runtime.model_resolution import open_model
from levit.runtime.normalizing_engine import as_image_engine
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Artifact

DEFAULT_BATCH_SIZE = 16

_NO_LOGITS = np.empty(0, np.float32)  # of an image with an error


class Classifier:
    """Image classifier with an exported model or a checkpoint.

    torch is needed only for `engine="torch"` and for checkpoints in `.pth` files.

    It may be shared between threads. The compiled network lives until `close()` or the end of a `with` block, or as
    long as the classifier; see `levit.runtime.engine.Engine`, also about forked processes. An image for which a logit
    is not finite has an error; a model that gives such logits for a uniform gray image is refused when that happens.

    Args:
        model: an exported `.onnx` file; a checkpoint (argument or result of `levit.read_checkpoint`), which is folded
            and compiled on first use and cached; an opened engine, with which `engine`, `precision` and `provider` must
            be left out; or None for the embedded model.
        engine: "openvino", "onnxruntime", for checkpoints also "torch", or "auto" for the fastest that is installed.
        precision: precision of the arithmetic. "auto" is "int8" where the file is quantized, otherwise "bf16" where
            the processor computes it natively, or else "fp32".
        threads: number of threads, at least 1; None for the number of cores that this process may use.
        max_pixels: largest accepted product of width and height, by default 100 million; larger images are refused
            before they are decoded.
        preprocessing: "fast", within 0.05 gray levels of Pillow in the mean (1 for JPEG files several times as large
            as needed, which are decoded at a fraction of their size); or "exact", bit for bit as Pillow.
        provider: execution provider of onnxruntime ("cpu", "cuda"), or device of torch ("cpu", "cuda", "mps").
        revision: branch, tag or commit, for a checkpoint on the hub.

    Attributes:
        engine: the inference engine, with its precision and the reason for it.
        artifact: description of the model: architecture, labels, preprocessing, source, accuracy.

    Raises:
        CheckpointError: the model does not exist, is damaged, or has no revisions.
        ConfigError: `preprocessing` is unknown, an option does not apply to an opened engine, or the preprocessing of
            the model does not produce the network's input.
        EngineError: the engine is not installed, or cannot open the model.
        TypeError: `model` is neither a name, a path, a checkpoint, an engine nor None.

    Examples:
        >>> import levit
        >>> classify = levit.Classifier()
        >>> [label.name for label in classify("examples/espresso.jpg").top(1)]
        ['espresso']
        >>> with levit.Classifier() as classify:
        ...     prediction = classify("examples/cat.jpg")
    """

    def __init__(
        self,
        model: str | PathLike[str] | Checkpoint | Engine | None = None,
        *,
        engine: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        max_pixels: int = MAX_PIXELS,
        preprocessing: Literal["fast", "exact"] = "fast",
        provider: str | None = None,
        revision: str | None = None,
    ) -> None:
        if preprocessing not in ("fast", "exact"):
            raise ConfigError(f"is {preprocessing!r}", source="preprocessing", hint="use fast or exact")
        model = Path(model) if isinstance(model, PathLike) else model
        if model is None or isinstance(model, str | Path | Checkpoint):
            self.engine: Engine = open_model(
                model, engine=engine, precision=precision, threads=threads, provider=provider, revision=revision
            )
        elif isinstance(model, Engine):
            check_no_revision(revision, type(model).__name__, "an opened engine")
            validate_options(precision, threads)
            if (engine, precision, provider) != ("auto", "auto", None):
                reason = "`engine`, `precision` and `provider` do not apply"
                raise ConfigError(reason, source="an opened engine", hint="leave them out")
            self.engine = model
        else:
            raise TypeError(f"model is a {type(model).__name__}: give a path, a name, a checkpoint or an engine")
        self.artifact = _read_artifact(self.engine, model)
        self._image_engine = as_image_engine(self.engine, self.artifact.preprocessing)
        self._owns_engine = self.engine is not model
        self._is_verified = False
        self._threads = threads or usable_cores()
        self._max_pixels = max_pixels
        self._exact = preprocessing == "exact"

    def close(self) -> None:
        """Finish the computations in progress, and free the network; a second call does nothing.

        Later predictions raise an EngineError. An engine that was opened by the caller stays open.
        """
        for engine in (self._image_engine, self.engine):
            if isinstance(engine, ManagedEngine) and (self._owns_engine or engine is not self.engine):
                engine.close()

    def __enter__(self) -> Self:
        """Return the classifier."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the classifier."""
        self.close()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.artifact.labels

    @overload
    def __call__(self, images: ImageSource) -> Prediction: ...
    @overload
    def __call__(self, images: list[ImageSource] | tuple[ImageSource, ...]) -> list[Prediction]: ...
    def __call__(
        self, images: ImageSource | list[ImageSource] | tuple[ImageSource, ...]
    ) -> Prediction | list[Prediction]:
        """Classify one image with the lowest latency, or a list of images with the highest throughput.

        Args:
            images: a path, bytes, a PIL image or an array (see `levit.images.decoding.read_image`), or a list of these.

        Returns:
            One prediction; or a list in the order of the images, with bad images reported in `Prediction.error`.

        Raises:
            ImageError: the single image cannot be decoded or is refused, or a logit is not finite.
            EngineError: the engine failed or is closed, or the model gives no finite logits at all.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images))
        batch = DecodedBatch([describe_source(images)], [self._preprocess(images)], [None])
        (prediction,) = self._predictions(batch, self._compute_now(batch.images))
        if prediction.error is not None:
            raise prediction.error
        return prediction

    def stream(self, images: Iterable[ImageSource], *, batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Prediction]:
        """Classify any number of images, in order and in bounded memory.

        Images are decoded while earlier ones are computed. At most two batches are decoded ahead, at most one batch
        per thread is computed or queued, and no more images than that are taken from `images`.

        Args:
            images: iterable of image sources as for `__call__`; a generator may be endless, and may reuse an array.
            batch_size: number of images that are computed at once, at least 1.

        Yields:
            One prediction per image, with bad images reported in `Prediction.error`.

        Raises:
            TypeError: `images` is a single image.
            ConfigError: `batch_size` is less than 1.
            EngineError: the engine failed or is closed, or the model gives no finite logits at all. It ends the stream,
                as does an exception of `images` itself.
        """
        if isinstance(images, IMAGE_TYPES):
            raise TypeError("stream takes an iterable of images: call the classifier with a single image")
        if batch_size < 1:
            raise ConfigError(f"is {batch_size}", source="batch_size", hint="give at least 1")
        return self._stream(iter(images), batch_size)

    def _stream(self, sources: Iterator[ImageSource], batch_size: int) -> Iterator[Prediction]:
        decoding: deque[DecodingImage] = deque()
        computing: deque[tuple[DecodedBatch, Future[NDArray[np.float32]]]] = deque()
        guard = ProcessGuard("this stream")
        is_exiting = sys.is_finalizing  # global names are gone when an unfinished stream is deleted at exit
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="levit-decode")
        try:
            while True:
                guard.check()
                for source in islice(sources, 2 * batch_size - len(decoding)):
                    image = schedule(pool, self._preprocess, snapshot_source(source))
                    decoding.append(DecodingImage(describe_source(source), image))
                if not decoding:
                    break
                batch = collect([decoding.popleft() for _ in range(min(batch_size, len(decoding)))])
                is_nothing_pending = not computing and not decoding and len(batch.images) < batch_size
                if is_nothing_pending:
                    yield from self._predictions(batch, self._compute_now(batch.images))
                    continue
                computing.append((batch, self._compute_queued(batch.images, batch_size)))
                while computing and (computing[0][1].done() or len(computing) > self._threads):
                    batch, logits = computing.popleft()
                    yield from self._predictions(batch, self._checked(logits.result(), len(batch.images)))
            for batch, logits in computing:
                yield from self._predictions(batch, self._checked(logits.result(), len(batch.images)))
        finally:
            if not is_exiting():
                pool.shutdown(wait=False, cancel_futures=True)

    def _preprocess(self, source: ImageSource) -> NDArray[np.uint8]:
        return read_and_preprocess(source, self.artifact.preprocessing, max_pixels=self._max_pixels, exact=self._exact)

    def _compute_now(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Compute the logits of a few images with the lowest latency."""
        if not images:
            return self._no_logits()
        return self._checked(self._image_engine.run_images(np.stack(images)), len(images))

    def _compute_queued(self, images: list[NDArray[np.uint8]], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream with the highest throughput."""
        if images:
            return self._image_engine.submit(np.stack(images), batch_size)
        finished: Future[NDArray[np.float32]] = Future()
        finished.set_result(self._no_logits())
        return finished

    def _no_logits(self) -> NDArray[np.float32]:
        return np.empty((0, len(self.labels)), np.float32)

    def _checked(self, logits: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if logits.shape != (count, len(self.labels)):
            raise EngineError(
                f"the network gives {list(logits.shape)} for {count} images and {len(self.labels)} labels",
                source=self.artifact.source.name,
                hint="export the checkpoint again",
            )
        return logits

    def _predictions(self, batch: DecodedBatch, logits: NDArray[np.float32]) -> Iterator[Prediction]:
        rows = iter(logits)
        for name, error in zip(batch.names, batch.errors, strict=True):
            row = _NO_LOGITS if error else next(rows)
            if not np.isfinite(row).all():
                self._verify_model()
                row, error = _NO_LOGITS, ImageError("the model gives a logit that is not finite", source=name)
            yield self._prediction(name, row, error)

    def _verify_model(self) -> None:
        """Refuse a model whose logits are not finite for a uniform gray image; called when those of an image are not.

        Verifying each model when it is opened would compile a network that a stream does not need.
        """
        if not self._is_verified:
            gray = np.full((1, *self.artifact.architecture.image_height_width, 3), 128, np.uint8)
            if not np.isfinite(self._image_engine.run_images(gray)).all():
                raise EngineError(
                    f"the model gives logits that are not finite, in {self.engine.precision}",
                    source=self.artifact.source.name,
                    hint="its weights are damaged, or too large for the precision",
                )
            self._is_verified = True

    def _prediction(self, name: str, logits: NDArray[np.float32], error: ImageError | None) -> Prediction:
        rejection = self.artifact.rejection
        return Prediction(
            source=name,
            logits=logits,
            labels=self.labels,
            error=error,
            temperature=rejection.temperature if rejection else 1.0,
            threshold=rejection.threshold if rejection else 0.0,
            is_multi_label=self.artifact.is_multi_label,
        )


def _read_artifact(engine: Engine, model: object) -> Artifact:
    """Read the description of the engine's model, and check that it classifies images."""
    source = str(model) if isinstance(model, str | Path) else None
    try:
        artifact = Artifact.from_metadata(engine.metadata)
    except CheckpointError as error:
        raise CheckpointError(error.reason, source=source, hint=error.hint) from error
    if artifact.architecture.num_channels != 3:
        channels = artifact.architecture.num_channels
        raise ConfigError(f"the network takes {channels} channels, and images have 3", source=source)
    artifact.preprocessing.check_fits(artifact.architecture.image_height_width)
    return artifact
