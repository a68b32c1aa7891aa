"""What the name of a model means: an artifact, a checkpoint that becomes one, or the embedded default."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from levit import __version__
from levit.checkpoints.cache import cache_folder, keep
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.hub import check_no_revision, find_weights
from levit.checkpoints.reading import read_weights, short_name
from levit.checkpoints.transformers_configuration import CONFIG_FILE, PREPROCESSOR_FILE
from levit.checkpoints.weight_files import hash_file
from levit.errors import CheckpointError, EngineError
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import CHECKPOINT_ENGINES, Engine, Precision, check_options, find_engine, open_engine

EMBEDDED_MODEL = "default.onnx"


def open_model(
    model: str | Path | Checkpoint | None,
    *,
    engine: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    provider: str | None = None,
    revision: str | None = None,
) -> Engine:
    """Open what a name means in an inference engine; see `find_artifact` and `levit.runtime.engine.open_engine`.

    Raises:
        CheckpointError: there is no such model, it is damaged, or it has no revisions.
        EngineError: the engine is missing, or cannot open it.
    """
    if engine in CHECKPOINT_ENGINES:
        checkpoint = _read_checkpoint(model, engine, revision)
        check_options(precision, threads)
        return find_engine(engine)(
            checkpoint, precision=precision, threads=threads or usable_cores(), provider=provider
        )
    options: dict[str, Any] = {"engine": engine, "precision": precision, "threads": threads, "provider": provider}
    options["cache_dir"] = cache_folder("compiled")
    if isinstance(model, Checkpoint):
        check_no_revision(revision, model.source.name, "what is in memory")
        artifact: Path | bytes = _fold(model)
    else:
        artifact = find_artifact(model, revision=revision)
    try:
        return open_engine(artifact, **options)
    except EngineError:
        if model is None or isinstance(model, Checkpoint) or is_artifact(model) or not isinstance(artifact, Path):
            raise
        content = _fold(read_weights(find_weights(model, revision=revision), model))
        if artifact.read_bytes() == content:
            raise
        keep(content, artifact)  # the copy in the cache was damaged
        return open_engine(content, **options)


def _read_checkpoint(model: str | Path | Checkpoint | None, engine: str, revision: str | None) -> Checkpoint:
    """A checkpoint for an engine that opens no ONNX files."""
    if isinstance(model, Checkpoint):
        check_no_revision(revision, model.source.name, "what is in memory")
        return model
    if model is None or is_artifact(model):
        name = "the model inside the package" if model is None else str(model)
        raise EngineError(f"engine {engine} opens checkpoints, and {name} is an exported file: use another engine")
    return read_weights(find_weights(model, revision=revision), model)


def is_artifact(model: str | Path) -> bool:
    """Whether a name means an exported file and no checkpoint."""
    return Path(model).suffix.lower() == ".onnx" and not Path(model).is_dir()


def find_artifact(model: str | Path | None, *, revision: str | None = None) -> Path | bytes:
    """The ONNX artifact that a name means: a file, or its content.

    A checkpoint is folded on the fly; what that gives is cached under the hash of its files.

    Args:
        model: an `.onnx` file; what `levit.read_checkpoint` takes; or None for the embedded model.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Raises:
        CheckpointError: there is no such file, it is no checkpoint, or it has no revisions.
    """
    if model is None:
        check_no_revision(revision, EMBEDDED_MODEL, "the model inside the package")
        return Path(str(files("levit.runtime.embedded") / EMBEDDED_MODEL))
    if is_artifact(model):
        check_no_revision(revision, str(model), "an exported file")
        if not Path(model).is_file():
            raise CheckpointError(f"{model}: no such file")
        return Path(model)
    weights, folder = find_weights(model, revision=revision), cache_folder("folded")
    cached = folder / f"{_content_key(model, weights)}.onnx" if folder else None
    if cached is not None and cached.is_file():
        with suppress(OSError):
            os.utime(cached)  # the oldest copies are the first to go
        return cached
    content = _fold(read_weights(weights, model))
    if cached is not None and keep(content, cached):
        return cached
    return content


def _fold(checkpoint: Checkpoint) -> bytes:
    from levit.deployment.build import build_artifact  # imports onnx, which a cached checkpoint does without

    content: bytes = build_artifact(checkpoint, producer=f"levit {__version__}").SerializeToString()
    return content


def _content_key(model: str | Path, weights: Path) -> str:
    parts = [__version__, short_name(model, weights), hash_file(weights)]  # the name is in the artifact
    for name in (CONFIG_FILE, PREPROCESSOR_FILE):
        file = weights.with_name(name)
        parts.append(hash_file(file) if file.is_file() else "")
    return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()
