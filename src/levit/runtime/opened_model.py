"""Model of a classifier: its engine, opened from a name, a checkpoint or an engine of the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Union

from PIL.Image import Image

from levit.checkpoints.weight_lookup import check_no_revision
from levit.errors import ConfigError, EngineError, errors_name
from levit.fork_safe_lock import ForkSafeLock
from levit.images.sources import ImageSource
from levit.images.transform import read_network_input
from levit.managed_engine import ManagedEngine
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import Engine, ImageEngine, validate_options
from levit.runtime.image_results import ImageComputation, ImageResult
from levit.runtime.model_resolution import open_model
from levit.runtime.normalizing_engine import as_image_engine
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Artifact
from levit.spec.choices import Precision

if TYPE_CHECKING:
    from levit.checkpoints.checkpoint import Checkpoint

Model = Union[str, PathLike[str], "Checkpoint", Engine, None]
"""Exported file, checkpoint, opened engine, or None for the embedded model."""

KEPT_MODELS = 4
"""Number of models of unpickled classifiers that a process keeps open."""


@dataclass(frozen=True)
class ModelOptions:
    """Model of a classifier and how it is opened; see `levit.Classifier`."""

    model: Model
    engine: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    provider: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        """Make a path of any other object that stands for one."""
        if isinstance(self.model, PathLike):
            object.__setattr__(self, "model", Path(self.model))

    @property
    def source(self) -> str | None:
        """Name of the model in errors; None for one that is in memory or embedded."""
        return str(self.model) if isinstance(self.model, str | Path) else None

    def absolute(self) -> ModelOptions:
        """The same options with an absolute path, for a process in another folder."""
        if isinstance(self.model, str | Path) and Path(self.model).exists():
            return replace(self, model=Path(self.model).absolute())
        return self

    def open(self) -> OpenedModel:
        """Open the model.

        Raises:
            CheckpointError: the model does not exist, is damaged, or has no revisions.
            ConfigError: an option is invalid or does not apply to an opened engine, or the preprocessing of the model
                does not produce the network's input.
            EngineError: the engine is not installed, or cannot open the model.
            TypeError: `model` is of another type.
        """
        model = self.model
        if isinstance(model, Engine):
            check_no_revision(self.revision, type(model).__name__, "an opened engine")
            validate_options(self.precision, self.threads)
            if (self.engine, self.precision, self.provider) != ("auto", "auto", None):
                reason = "`engine`, `precision` and `provider` do not apply"
                raise ConfigError(reason, source="an opened engine", hint="leave them out")
            return self._describe(model, owns_engine=False)
        return self._describe(open_model(self), owns_engine=True)

    def _describe(self, engine: Engine, *, owns_engine: bool) -> OpenedModel:
        return OpenedModel(self, engine, _read_artifact(engine, self.source), owns_engine=owns_engine)


class OpenedModel:
    """Opened model; it may be shared between threads.

    Args:
        options: options with which it was opened.
        engine: the engine, as it was opened or given.
        artifact: description of the model.
        owns_engine: False for an engine that was opened by someone else, who closes it.

    Attributes:
        options, engine, artifact: the arguments.
        image_engine: the engine, with normalization.
    """

    def __init__(self, options: ModelOptions, engine: Engine, artifact: Artifact, *, owns_engine: bool) -> None:
        self.options, self.engine, self.artifact = options, engine, artifact
        self.image_engine: ImageEngine = as_image_engine(engine, artifact.preprocessing)
        self._owns_engine = owns_engine
        self._lock = ForkSafeLock()
        self._features: OpenedModel | None = None
        self._is_closed = False

    @property
    def features(self) -> OpenedModel:
        """The network up to its pooled features, opened on first use, once for all threads.

        Raises:
            EngineError: the model is closed; or as for `levit.runtime.features.open_features`.
        """
        from levit.runtime.features import open_features  # which imports this module

        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed", hint="open a new one")
            if self._features is None:
                self._features = open_features(self)
            return self._features

    def computation(self, width: int, *, max_pixels: int, is_exact: bool = False) -> ImageComputation:
        """Computation of images by this model, which are decoded by as many threads as its options have.

        Args:
            width: number of values that the network gives for each image.
            max_pixels: largest number of pixels of an image.
            is_exact: True for preprocessing that is bit for bit as Pillow.
        """

        def read(image: ImageSource) -> Image:
            return read_network_input(image, self.artifact.preprocessing, max_pixels=max_pixels, exact=is_exact)[0]

        return ImageComputation(
            self.image_engine,
            read,
            width=width,
            image_size=self.artifact.architecture.image_height_width,
            threads=self.options.threads or usable_cores(),
            max_pixels=max_pixels,
            source=self.artifact.source.name,
        )

    def prediction(self, result: ImageResult) -> Prediction:
        """The prediction of an image from its logits, or from its error."""
        rejection = self.artifact.rejection
        return Prediction(
            source=result.name,
            logits=result.row,  # type: ignore[arg-type]  # an array when it is read
            labels=self.artifact.labels,
            error=result.error,
            temperature=rejection.temperature if rejection else 1.0,
            threshold=rejection.threshold if rejection else 0.0,
            is_multi_label=self.artifact.is_multi_label,
            pixels=result.pixels,  # type: ignore[arg-type]
        )

    def close(self) -> None:
        """Finish the computations in progress, and free the networks; a second call does nothing."""
        with self._lock:
            self._is_closed = True
            if self._features is not None:
                self._features.close()
        for engine in (self.image_engine, self.engine):
            if isinstance(engine, ManagedEngine) and (self._owns_engine or engine is not self.engine):
                engine.close()


@lru_cache(maxsize=KEPT_MODELS)
def open_shared(options: ModelOptions) -> OpenedModel:
    """Open a model once for all unpickled classifiers of this process, since each task of a pool unpickles one."""
    return options.open()


def _read_artifact(engine: Engine, source: str | None) -> Artifact:
    """Read the description of the engine's model, and check that it classifies images."""
    with errors_name(source):
        artifact = Artifact.from_metadata(engine.metadata)
        if artifact.architecture.num_channels != 3:
            raise ConfigError(f"the network takes {artifact.architecture.num_channels} channels, and images have 3")
        artifact.preprocessing.check_fits(artifact.architecture.image_height_width)
        return artifact
