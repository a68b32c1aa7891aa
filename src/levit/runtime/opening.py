"""What the name of a model means: an artifact, a checkpoint that becomes one, or the embedded default."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

from levit import __version__
from levit.checkpoints.reading import CONFIG_FILE, PREPROCESSOR_FILE, find_weights, hash_file, read_checkpoint
from levit.errors import CheckpointError
from levit.runtime.cache import cache_folder, keep

EMBEDDED_MODEL = "default.onnx"


def find_artifact(model: str | Path | None) -> Path | bytes:
    """The ONNX artifact that a name means: a file, or its content.

    A checkpoint is folded on the fly; what that gives is cached under the hash of its files.

    Args:
        model: an `.onnx` file; a checkpoint (a folder or a `.safetensors` file); or None for the embedded model.

    Raises:
        CheckpointError: there is no such file, or it is no checkpoint.
    """
    if model is None:
        return Path(str(files("levit.runtime.embedded") / EMBEDDED_MODEL))
    path = Path(model)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise CheckpointError(f"{model}: no such file")
        return path
    return _fold_checkpoint(path)


def _fold_checkpoint(path: Path) -> Path | bytes:
    folder = cache_folder("folded")
    cached = folder / f"{_content_key(path)}.onnx" if folder else None
    if cached is not None and cached.is_file():
        return cached
    from levit.deployment.build import build_artifact  # imports onnx, which a cached checkpoint does without

    content: bytes = build_artifact(read_checkpoint(path), producer=f"levit {__version__}").SerializeToString()
    if cached is not None and keep(content, cached):
        return cached
    return content


def _content_key(path: Path) -> str:
    weights = find_weights(path)
    # The name is in the artifact, and differs where a file and not its folder is named.
    parts = [__version__, path.name, weights.resolve().parent.name, hash_file(weights)]
    for name in (CONFIG_FILE, PREPROCESSOR_FILE):
        file = weights.with_name(name)
        parts.append(hash_file(file) if file.is_file() else "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
