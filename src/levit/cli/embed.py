"""The commands `levit embed` and `levit similar`: pooled features of images, and the images most similar to one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from levit.cli.classifier_opening import open_classifier, raise_pillow_limit, skip_model_converter
from levit.cli.inputs import ImageInput, MissingInput, iterate_inputs
from levit.cli.shared_options import (
    BatchSizeOption,
    EngineOption,
    JsonLinesOption,
    JsonOption,
    MaxPixelsOption,
    ModelOption,
    PathsArgument,
    PrecisionOption,
    PreprocessingOption,
    ProviderOption,
    RevisionOption,
    ThreadsOption,
)
from levit.cli.skipped_files import SkippedFileCounter
from levit.errors import EngineError, printable

if TYPE_CHECKING:
    from levit.reporting.embeddings_file import Embeddings
    from levit.runtime.classifier import Classifier
    from levit.spec.artifact import Source
    from levit.spec.choices import Precision

OutOption = Annotated[
    str, typer.Option("--out", "-o", metavar="FILE", help="File to write: .parquet, or .npz of NumPy.")
]
ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="The image.")]
EmbeddingsOption = Annotated[str, typer.Option("--in", "-i", metavar="FILE", help="File that levit embed wrote.")]
NumberOption = Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of images.")]


def embed(
    paths: PathsArgument,
    out: OutOption,
    model: ModelOption = None,
    revision: RevisionOption = None,
    batch_size: BatchSizeOption = 16,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = "fast",
    max_pixels: MaxPixelsOption = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write feature vectors (embeddings) of images, for `levit similar`.

    The exit code is 1 if some images could not be read; they are named, and the features of all others are written.
    """
    from levit.cli.json_output import print_json
    from levit.errors import DataError
    from levit.logs import get_logger
    from levit.reporting.embeddings_file import check_suffix, write_embeddings

    check_suffix(Path(out))
    classifier = open_classifier(model, revision, engine, precision, provider, preprocessing, max_pixels, threads)
    embeddings, errors = _embed(classifier, paths, batch_size)
    if not embeddings.files:
        raise DataError("is not written, because no image could be read", source=out, hint="give images or folders")
    used = classifier.feature_engine
    if precision == "auto":
        precision = cast("Precision", used.precision)
    embeddings = replace(embeddings, engine=used.name, precision=precision, preprocessing=preprocessing)
    write_embeddings(embeddings, Path(out))
    shape = " x ".join(f"{size:,}" for size in embeddings.features.shape)
    get_logger().info("%s", printable(f"{out}: {shape} features of {embeddings.model}"))
    if as_json:
        count, width = embeddings.features.shape
        print_json({"path": out, "images": count, "features": width, "model": embeddings.model, "errors": errors})
    if errors:
        raise typer.Exit(1)


def similar(
    image: ImageArgument,
    file: EmbeddingsOption,
    top_k: NumberOption = 10,
    model: ModelOption = None,
    revision: RevisionOption = None,
    provider: ProviderOption = None,
    max_pixels: MaxPixelsOption = None,
    threads: ThreadsOption = None,
    as_json: JsonLinesOption = False,
) -> None:
    """Find the images that are most similar to one, by the features that `levit embed` wrote.

    The similarity is the cosine of the angle between the features of both images, from which the mean of all was
    subtracted: 1 for the same features, about 0 for unrelated images. The image itself is left out. Engine, precision
    and preprocessing are those of the file.
    """
    from levit.evaluation.similarity import most_similar
    from levit.reporting.embeddings_file import read_embeddings
    from levit.reporting.metrics_json import escape_surrogates
    from levit.runtime.classifier import Classifier
    from levit.runtime.model_info import describe

    embeddings = read_embeddings(Path(file))
    skip_model_converter()
    settings: dict[str, Any] = {"engine": embeddings.engine, "precision": embeddings.precision}
    settings |= {"preprocessing": embeddings.preprocessing, "max_pixels": raise_pillow_limit(max_pixels)}
    try:
        classifier = Classifier(model, revision=revision, provider=provider, threads=threads, **settings)
    except EngineError:  # the model lacks the precision of the file, if it is another one
        _check_is_same_model(describe(model, revision=revision)[0].source, embeddings, file)
        raise
    _check_is_same_model(classifier.artifact.source, embeddings, file)
    query = classifier.embed(image)
    neighbors = most_similar(query, embeddings.features, top_k=max(1, len(embeddings.files)))
    itself = escape_surrogates(str(Path(image).resolve()))  # as the names in the file
    rows = ((embeddings.files[index], similarity) for index, similarity in neighbors)
    others = (row for row in rows if escape_surrogates(str(embeddings.path(row[0]))) != itself)
    shown = [(_name_from_here(embeddings, name), similarity) for name, similarity in islice(others, top_k)]
    _print(shown, as_json=as_json)


def _embed(classifier: Classifier, paths: list[str], batch_size: int) -> tuple[Embeddings, int]:
    """Features of all images that can be read, and the number of errors, which are printed."""
    import numpy as np

    from levit.cli.error_message import IMAGE_FLAGS, error_message
    from levit.cli.progress_bar import track
    from levit.logs import get_logger
    from levit.reporting.embeddings_file import Embeddings

    skipped, missing = SkippedFileCounter(), 0

    def sources() -> Iterator[str]:
        nonlocal missing
        for item in iterate_inputs(paths, skipped):
            if isinstance(item, MissingInput):
                missing += 1
                get_logger().error("%s", printable(f"{item.name}: {item.reason}"))
            elif isinstance(item, ImageInput):
                yield item.path

    files, rows, errors = [], [], 0
    for embedding in track(classifier.stream_embeddings(sources(), batch_size=batch_size), "images"):
        if embedding.error is None:
            files.append(embedding.source)
            rows.append(embedding.features)
        else:
            errors += 1
            get_logger().error("%s", error_message(embedding.error, IMAGE_FLAGS))
    skipped.warn()
    width = classifier.artifact.architecture.hidden_sizes[-1]
    features = np.array(rows, np.float32).reshape(len(rows), width)
    source = classifier.artifact.source
    return Embeddings(files, features, source.name, source.sha256), errors + missing


def _check_is_same_model(source: Source, embeddings: Embeddings, file: str) -> None:
    from levit.errors import DataError

    if source.sha256 is None and embeddings.sha256 is None:
        is_same = source.name == embeddings.model
    else:
        is_same = source.sha256 == embeddings.sha256
    if not is_same:
        reason = f"has features of another model, {embeddings.model}, than {source.name}"
        raise DataError(reason, source=file, hint="give that model by `model`")


def _name_from_here(embeddings: Embeddings, name: str) -> str:
    """Name of an image as `embed` was given it; from another folder, one with which it opens there."""
    if Path(name).is_absolute() or embeddings.folder.resolve() == Path.cwd():
        return name
    try:
        return os.path.relpath(embeddings.folder / name)
    except ValueError:  # another drive of Windows
        return str(embeddings.folder / name)


def _print(rows: list[tuple[str, float]], *, as_json: bool) -> None:
    from levit.cli.json_output import print_json

    for name, similarity in rows:
        if as_json:
            print_json({"file": name, "similarity": similarity})
        else:
            print(f"{similarity:6.3f}  {printable(name)}")
