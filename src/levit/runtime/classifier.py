"""Image classifier: images in, labels out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from levit.checkpoints.recognition import is_checkpoint
from levit.errors import ConfigError, EngineError
from levit.images.decoding import MAX_PIXELS, ImageSource
from levit.images.sources import is_image_source
from levit.runtime.engine import Engine
from levit.runtime.image_results import DEFAULT_BATCH_SIZE as DEFAULT_BATCH_SIZE
from levit.runtime.image_results import ImageComputation, ImageResult, convert_results
from levit.runtime.opened_model import ModelOptions, OpenedModel, open_shared
from levit.runtime.prediction import Embedding, Prediction
from levit.spec.artifact import Artifact
from levit.spec.choices import Precision, PreprocessingMode
from levit.spec.field_values import check_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from levit.checkpoints.checkpoint import Checkpoint

# For type checkers, a list of paths is not a list of images of any type, so both have an overload.
Image = TypeVar("Image", bound=ImageSource)
Images = list[ImageSource] | tuple[ImageSource, ...]


class Classifier:
    """Image classifier for an exported model, a checkpoint or a model name.

    torch is needed only for `engine="torch"` and for checkpoints in `.pth` files.

    It may be shared between threads. The compiled network lives until `close()` or the end of a `with` block, or as
    long as the classifier; see `levit.runtime.engine.Engine`, also about forked processes.

    Args:
        model: an exported `.onnx` file; a checkpoint (argument or result of `levit.read_checkpoint`), which is folded
            and compiled on first use and cached; an opened engine, with which `engine`, `precision` and `provider` must
            be left out; or None for the embedded model.
        engine: "openvino", "onnxruntime", "native" for LeViT only, for checkpoints also "torch", or "auto" for the
            fastest that is installed; `levit info` shows which.
        precision: precision of the arithmetic. "auto" is "int8" where the file is quantized, otherwise "bf16" where
            the processor computes it natively, or else "fp32".
        threads: number of threads, at least 1; None for the number of cores that this process may use.
        max_pixels: largest accepted product of width and height, by default 100 million; larger images are refused
            before they are decoded. JPEG files decoded at a fraction of their size may have four times as many.
        preprocessing: "fast", within 0.05 gray levels of Pillow on average (1 for JPEG files several times as large
            as needed, which are decoded at a fraction of their size); or "exact", bit for bit as Pillow.
        provider: execution provider of onnxruntime ("cpu", "cuda", "coreml", or the full name of another one), or
            device of torch ("cpu", "cuda", "mps").
        revision: branch, tag or commit, for a checkpoint on the hub.

    A classifier can be pickled, unless it was made from an opened engine: its copy in another process opens the same
    model with the same options on first use, once for all copies in that process (a checkpoint in memory once for each
    copy). Give `threads=1` for a pool of one process per core, started by the method "spawn" or "forkserver".

    Raises:
        CheckpointError: the model does not exist, is damaged, or has no revisions.
        ConfigError: an option is invalid or does not apply to an opened engine, or the preprocessing of the model does
            not produce the network's input.
        EngineError: the engine is not installed, cannot open the model, or gives logits that are not finite for a
            uniform gray image too, which is tried after the first such image; otherwise only this image has an error.
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
        preprocessing: PreprocessingMode = "fast",
        provider: str | None = None,
        revision: str | None = None,
    ) -> None:
        if preprocessing not in ("fast", "exact"):
            raise ConfigError(f"is {preprocessing!r}", source="preprocessing", hint="use fast or exact")
        self._options = ModelOptions(model, engine, precision, threads, provider, revision)
        self._max_pixels = check_count("max_pixels", max_pixels)
        self._exact = preprocessing == "exact"
        self._is_copy = self._is_closed = False
        self._opened = self._options.open()

    @cached_property
    def _opened(self) -> OpenedModel:
        """The model; that of an unpickled classifier is opened on first use, and shared by all copies in a process."""
        return open_shared(self._options) if self._is_shared else self._options.open()

    @property
    def _is_shared(self) -> bool:
        """Whether other copies in this process use the same opened model."""
        return self._is_copy and not is_checkpoint(self._options.model)

    @cached_property
    def _logits(self) -> ImageComputation:
        self._check_open()
        return self._computation(self._opened, len(self._opened.artifact.labels))

    @cached_property
    def _features(self) -> ImageComputation:
        self._check_open()
        return self._computation(self._opened.features, self.artifact.architecture.hidden_sizes[-1])

    def _check_open(self) -> None:
        if self._is_closed:  # also with an engine that stays open
            raise EngineError("the engine is closed", hint="open a new one")

    def _computation(self, opened: OpenedModel, width: int) -> ImageComputation:
        return opened.computation(width, max_pixels=self._max_pixels, is_exact=self._exact)

    @property
    def engine(self) -> Engine:
        """The inference engine, with its precision and the reason for it."""
        return self._opened.engine

    @property
    def feature_engine(self) -> Engine:
        """The inference engine of `embed`, which is opened on first use."""
        return self._opened.features.engine

    @property
    def artifact(self) -> Artifact:
        """Description of the model: architecture, labels, preprocessing, source, accuracy."""
        return self._opened.artifact

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.artifact.labels

    def close(self) -> None:
        """Finish the computations in progress, and free the network; a second call does nothing.

        Later predictions raise an EngineError. An engine that was opened by the caller stays open, as does that of an
        unpickled classifier, which other copies may use.
        """
        self._is_closed = True
        for name in ("_logits", "_features"):
            vars(self).pop(name, None)
        if not self._is_shared and "_opened" in vars(self):
            self._opened.close()

    def __enter__(self) -> Self:
        """Return the classifier."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the classifier."""
        self.close()

    @property
    def path(self) -> Path | None:
        """File or folder of the model; None for a name, the embedded model, and a model in memory."""
        model = self._options.model
        return Path(model) if isinstance(model, str | Path) and Path(model).exists() else None

    def __repr__(self) -> str:
        """The model, its number of classes and image size, and the engine with its precision."""
        height, width = self.artifact.architecture.image_height_width
        return (
            f"Classifier({self.artifact.source.name!r}: {len(self.labels):,} classes, {height}x{width} pixels, "
            f"{self.engine.name} in {self.engine.precision})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """The model's name or checkpoint and the options, for `pickle`; each process opens the model itself."""
        options = self._options.absolute()
        if isinstance(options.model, Engine):
            raise TypeError("a classifier with an opened engine cannot be pickled: give it the model's file instead")
        return {
            "_options": options,
            "_max_pixels": self._max_pixels,
            "_exact": self._exact,
            "_is_copy": True,
            "_is_closed": False,
        }

    @overload
    def __call__(self, images: ImageSource) -> Prediction: ...
    @overload
    def __call__(self, images: list[Image]) -> list[Prediction]: ...
    @overload
    def __call__(self, images: Images) -> list[Prediction]: ...
    def __call__(self, images: ImageSource | list[Image] | Images) -> Prediction | list[Prediction]:
        """Classify one image with the lowest latency, or a list of images with the highest throughput.

        Args:
            images: a path, the content of a file, an open file, a PIL image, an array or a tensor of torch (see
                `levit.images.sources.ImageSource`), or a list of these; for any other iterable use `stream`.

        Returns:
            One prediction; or a list in the order of the images, with bad images reported in `Prediction.error`.

        Raises:
            ImageError: the single image cannot be decoded or is refused, or a logit is not finite.
            EngineError: the engine failed or is closed, or the model gives no finite logits at all.
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images))
        return self._prediction(self._logits.one(images))

    def stream(self, images: Iterable[ImageSource], *, batch_size: int = DEFAULT_BATCH_SIZE) -> Iterator[Prediction]:
        """Classify any number of images, in order and in bounded memory.

        Images are decoded while earlier ones are computed. At most two batches or two images per thread are decoded
        ahead, at most one batch per thread is computed or queued, and no more images are taken from `images`.

        Args:
            images: iterable of image sources as for `__call__`; a generator may be endless, and may reuse an array.
            batch_size: number of images that are computed at once, at least 1.

        Yields:
            One prediction per image, with bad images reported in `Prediction.error`.

        Raises:
            TypeError: `images` is a single image.
            ConfigError: `batch_size` is not a whole number of at least 1.
            EngineError: the engine failed or is closed, or the model gives no finite logits at all. It ends the stream,
                as does an exception of `images` itself, after the predictions of the images before it.
        """
        return convert_results(self._logits.stream(images, batch_size), self._prediction)

    def embed(self, images: ImageSource | Sequence[ImageSource]) -> NDArray[np.float32]:
        """Compute the pooled features of images: the mean of the last tokens, from which the head computes the logits.

        Similar images have similar features, also of classes that the model does not know; `levit similar` ranks images
        by them. torch is not needed.

        Args:
            images: one image, or a list of images, as for `__call__`.

        Returns:
            Features, float32 [C] of one image or [N, C] of a list; C is the width of the last stage.

        Raises:
            ImageError: an image cannot be decoded or is refused; `stream_embeddings` reports it instead.
            EngineError: the engine failed or is closed, or the classifier was made from an opened engine.

        Examples:
            >>> import levit
            >>> levit.Classifier().embed(["examples/cat.jpg", "examples/rocket.jpg"]).shape
            (2, 384)
        """
        import numpy as np

        if is_image_source(images):
            return np.asarray(self._features.one(images).row)
        rows = []
        for embedding in self.stream_embeddings(images):
            if embedding.error is not None:
                raise embedding.error
            rows.append(embedding.features)
        return np.array(rows, np.float32).reshape(len(rows), self.artifact.architecture.hidden_sizes[-1])

    def stream_embeddings(
        self, images: Iterable[ImageSource], *, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> Iterator[Embedding]:
        """Compute the pooled features of any number of images, in order and in bounded memory; see `embed`.

        Args:
            images: iterable of image sources, as for `stream`.
            batch_size: number of images that are computed at once, at least 1.

        Yields:
            One embedding per image, with bad images reported in `Embedding.error`; errors are those of `stream`.
        """
        return convert_results(
            self._features.stream(images, batch_size),
            _embedding,
        )

    def _prediction(self, result: ImageResult) -> Prediction:
        return self._opened.prediction(result)


def _embedding(result: ImageResult) -> Embedding:
    import numpy as np

    return Embedding(result.name, np.asarray(result.row), result.error)
