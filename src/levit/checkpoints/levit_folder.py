"""Folders of checkpoints of any network of this package, in transformers' files.

A network that stock transformers would compute wrongly gets a model type that it refuses.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.dialects import TRANSFORMERS
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    MODEL_TYPES,
    PREPROCESSOR_FILE,
    config_from_architecture,
    config_from_checkpoint,
    is_supported_by_transformers,
    preprocessor_config,
)
from levit.checkpoints.writing import arrays_in, write_folder


def write_levit_folder(checkpoint: Checkpoint, target: str | PathLike[str]) -> Path:
    """Write a checkpoint as a folder that `levit.read_checkpoint` and `levit.load_checkpoint` read.

    Args:
        checkpoint: checkpoint of any network.
        target: folder to write; an existing one keeps its other files.

    Returns:
        The folder.

    Raises:
        CheckpointError: the folder cannot be written.

    Examples:
        >>> import levit, tempfile
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     levit.read_checkpoint(write_levit_folder(checkpoint, f"{folder}/copy")).architecture.depths
        (1, 2, 1)
    """
    config = config_from_checkpoint(checkpoint)
    if not is_supported_by_transformers(checkpoint.architecture):
        extended = config_from_architecture(checkpoint.architecture)
        del extended["num_labels"]
        config |= {**extended, "model_type": MODEL_TYPES[1], "drop_path_rate": float(checkpoint.drop_path_rate)}
    files = {CONFIG_FILE: config, PREPROCESSOR_FILE: preprocessor_config(checkpoint.preprocessing)}
    write_folder(Path(target).absolute(), arrays_in(checkpoint, TRANSFORMERS), files, TRANSFORMERS)
    return Path(target)
