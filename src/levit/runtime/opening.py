"""What the name of a model means: an artifact, a checkpoint that becomes one, or the embedded default."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

from levit import __version__
from levit.checkpoints.arrays import hash_file
from levit.checkpoints.cache import cache_folder, keep
from levit.checkpoints.configuration import CONFIG_FILE, PREPROCESSOR_FILE
from levit.checkpoints.hub import find_weights
from levit.checkpoints.reading import read_weights
from levit.errors import CheckpointError

EMBEDDED_MODEL = "default.onnx"


def find_artifact(model: str | Path | None) -> Path | bytes:
    """The ONNX artifact that a name means: a file, or its content.

    A checkpoint is folded on the fly; what that gives is cached under the hash of its files.

    Args:
        model: an `.onnx` file; what `levit.read_checkpoint` takes; or None for the embedded model.

    Raises:
        CheckpointError: there is no such file, or it is no checkpoint.
    """
    if model is None:
        return Path(str(files("levit.runtime.embedded") / EMBEDDED_MODEL))
    if (path := Path(model)).suffix == ".onnx":
        if not path.is_file():
            raise CheckpointError(f"{model}: no such file")
        return path
    return _fold_checkpoint(model)


def _fold_checkpoint(model: str | Path) -> Path | bytes:
    weights, folder = find_weights(model), cache_folder("folded")
    cached = folder / f"{_content_key(model, weights)}.onnx" if folder else None
    if cached is not None and cached.is_file():
        return cached
    from levit.deployment.build import build_artifact  # imports onnx, which a cached checkpoint does without

    content: bytes = build_artifact(read_weights(weights, model), producer=f"levit {__version__}").SerializeToString()
    if cached is not None and keep(content, cached):
        return cached
    return content


def _content_key(model: str | Path, weights: Path) -> str:
    # The name is in the artifact, and differs where a file and not its folder is named.
    parts = [__version__, Path(model).name, weights.resolve().parent.name, hash_file(weights)]
    for name in (CONFIG_FILE, PREPROCESSOR_FILE):
        file = weights.with_name(name)
        parts.append(hash_file(file) if file.is_file() else "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
