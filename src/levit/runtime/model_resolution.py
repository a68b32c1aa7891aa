"""Resolve the name of a model: an exported file, a checkpoint that is folded and cached, or the embedded model."""

from __future__ import annotations

import hashlib
import os
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from levit import __version__
from levit.checkpoints.cache import cache_folder, find_verified, write_verified
from levit.checkpoints.recognition import is_checkpoint
from levit.checkpoints.weight_lookup import check_no_revision, find_weights
from levit.errors import CheckpointError, EngineError
from levit.files import check_regular_file
from levit.runtime.code_stamp import PACKAGE, code_stamp
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import CHECKPOINT_ENGINES, OPENVINO_SUFFIX, Engine, open_engine, validate_options

if TYPE_CHECKING:
    from levit.checkpoints.checkpoint import Checkpoint
    from levit.runtime.opened_model import ModelOptions

EMBEDDED_MODEL = "default.onnx"

_EMBEDDED_FOLDER = Path(__file__).with_name("embedded")
_FOLDED_SUFFIX = ".onnx"


def open_model(options: ModelOptions) -> Engine:
    """Open a model in an inference engine.

    Args:
        options: the model, a name, a file or a checkpoint in memory, and how it is opened.

    Raises:
        CheckpointError: the model does not exist, is damaged, or has no revisions.
        ConfigError: an option is invalid, see `open_engine`.
        EngineError: the engine is not installed, or cannot open the model.
        TypeError: the model is of another type.
    """
    model, name = options.model, options.engine
    if not (model is None or isinstance(model, str | Path) or is_checkpoint(model)):
        raise TypeError(f"model is a {type(model).__name__}: give a path, a name, a checkpoint or an engine")
    if name in CHECKPOINT_ENGINES:
        checkpoint = _read_checkpoint(model, name, options.revision)
        threads = validate_options(options.precision, options.threads) or usable_cores()
        return CHECKPOINT_ENGINES[name].load(name)(
            checkpoint, precision=options.precision, threads=threads, provider=options.provider
        )
    if is_checkpoint(model):
        check_no_revision(options.revision, model.source.name, "a checkpoint in memory")
        artifact: Path | bytes = fold_checkpoint(model)
    else:
        artifact = find_artifact(model, revision=options.revision)
    return open_engine(
        artifact,
        engine=name,
        precision=options.precision,
        threads=options.threads,
        provider=options.provider,
        cache_dir=cache_folder("compiled"),
    )


def _read_checkpoint(model: str | Path | Checkpoint | None, engine: str, revision: str | None) -> Checkpoint:
    """Read a checkpoint for an engine that does not open ONNX files."""
    if is_checkpoint(model):
        check_no_revision(revision, model.source.name, "a checkpoint in memory")
        return model
    if model is None or is_artifact(model):
        name = "the embedded model" if model is None else str(model)
        raise EngineError(
            f"engine {engine} opens checkpoints, and {name} is an exported file", hint="use another engine"
        )
    from levit.checkpoints.reading import read_checkpoint_file

    return read_checkpoint_file(find_weights(model, revision=revision), model)


def is_artifact(model: str | PathLike[str]) -> bool:
    """Return True for the name of an exported file (`.onnx`, or `.xml` of OpenVINO), False for that of a checkpoint."""
    return Path(model).suffix.lower() in (".onnx", OPENVINO_SUFFIX) and not Path(model).is_dir()


def find_artifact(model: str | PathLike[str] | None, *, revision: str | None = None) -> Path | bytes:
    """Find the ONNX artifact of a model, or fold its checkpoint.

    A folded checkpoint is cached under the hashes of its files and of its own content. A damaged file in the cache
    does not match its hash, and is replaced.

    Args:
        model: an `.onnx` or `.xml` file; a checkpoint as for `levit.read_checkpoint`; or None for the embedded model.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Returns:
        The file; or its content, for a checkpoint that cannot be cached.

    Raises:
        CheckpointError: the file does not exist, cannot be read, is not a checkpoint, or has no revisions.
    """
    file = find_model_file(model, revision=revision)
    if model is None or is_artifact(model):
        return file
    from levit.checkpoints.reading import read_checkpoint_file  # exported files need none of its modules

    folder = cache_folder("folded")
    if folder is None:
        return fold_checkpoint(read_checkpoint_file(file, model))
    key = _content_key(model, file)
    cached = find_verified(folder, key, _FOLDED_SUFFIX)
    if cached is not None:
        return cached
    content = fold_checkpoint(read_checkpoint_file(file, model))
    return write_verified(folder, key, _FOLDED_SUFFIX, content) or content


def find_model_file(model: str | PathLike[str] | None, *, revision: str | None = None) -> Path:
    """Find the exported file or the weight file of a model, without reading it; published weights are downloaded.

    Args:
        model: as for `find_artifact`.
        revision: as for `find_artifact`.

    Raises:
        CheckpointError: the file does not exist, or has no revisions.
    """
    if model is None:
        check_no_revision(revision, EMBEDDED_MODEL, "the embedded model")
        return _EMBEDDED_FOLDER / EMBEDDED_MODEL
    if is_artifact(model):
        check_no_revision(revision, fspath(model), "an exported file")
        if not Path(model).exists():
            raise CheckpointError("no such file", source=fspath(model))
        check_regular_file(Path(model), CheckpointError)
        return Path(model)
    return find_weights(model, revision=revision)


def fold_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Fold a checkpoint into the content of an ONNX file."""
    from levit.deployment.build import build_artifact  # imports onnx, which a cached checkpoint does not need

    content: bytes = build_artifact(checkpoint, producer=f"levit {__version__}").SerializeToString()
    return content


def _content_key(model: str | PathLike[str], weights: Path) -> str:
    """Hash of everything that determines the artifact of a checkpoint, also the code; its metadata contain the name."""
    from levit.checkpoints.reading import checkpoint_name, hash_checkpoint_file
    from levit.checkpoints.transformers_configuration import CONFIG_FILE, PREPROCESSOR_FILE

    stamp = code_stamp(*(PACKAGE / name for name in ("checkpoints", "deployment", "spec")))
    parts = [__version__, stamp, checkpoint_name(model, weights), hash_checkpoint_file(weights)]
    for name in (CONFIG_FILE, PREPROCESSOR_FILE):
        file = weights.with_name(name)
        parts.append(hash_checkpoint_file(file) if file.is_file() else "")
    return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()
