"""Opening of a classifier with the options of a command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from levit.errors import printable
from levit.spec.choices import EngineName, Precision, PreprocessingMode

if TYPE_CHECKING:
    from levit.runtime.classifier import Classifier


def open_classifier(
    model: str | None,
    revision: str | None,
    engine: EngineName,
    precision: Precision,
    provider: str | None,
    preprocessing: PreprocessingMode,
    max_pixels: int | None,
    threads: int | None,
    *,
    verbose: bool = False,
) -> Classifier:
    """Open a classifier with the options of a command."""
    skip_model_converter()
    from levit.runtime.classifier import Classifier

    options = classifier_options(engine, precision, provider, preprocessing, max_pixels, threads)
    classifier = Classifier(model, revision=revision, **options)
    if verbose:
        _print_engine(classifier)
    return classifier


def classifier_options(
    engine: EngineName,
    precision: Precision,
    provider: str | None,
    preprocessing: PreprocessingMode,
    max_pixels: int | None,
    threads: int | None,
) -> dict[str, Any]:
    """Arguments of `levit.Classifier` by the options of a command."""
    return {
        "engine": engine,
        "precision": precision,
        "provider": provider,
        "preprocessing": preprocessing,
        "max_pixels": raise_pillow_limit(max_pixels),
        "threads": threads,
    }


def raise_pillow_limit(max_pixels: int | None) -> int:
    """The limit on the pixels of an image, and not a lower one in Pillow."""
    import PIL.Image

    from levit.images.decoding import MAX_PIXELS

    limit = max_pixels or MAX_PIXELS
    if PIL.Image.MAX_IMAGE_PIXELS is not None:
        PIL.Image.MAX_IMAGE_PIXELS = max(PIL.Image.MAX_IMAGE_PIXELS, limit)
    return limit


def skip_model_converter() -> None:
    """Prevent `import openvino` from importing its model converter, which takes a tenth of a second."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]


def _print_engine(classifier: Classifier) -> None:
    from levit.logs import get_logger

    engine, name = classifier.engine, classifier.artifact.source.name
    get_logger().info("%s", printable(f"{name}: {engine.name}, {engine.precision} ({engine.reason})"))
