"""Checkpoints of orbax: canonical weights as one tree, and their description as JSON."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.typing import DTypeLike

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import CheckpointError, errors_name, first_line
from levit.jax.checkpoints import from_checkpoint, to_checkpoint
from levit.jax.network import LeViT
from levit.spec.artifact import Artifact

_WEIGHTS, _DESCRIPTION = "weights", "levit"  # items of the checkpoint


def save_orbax(model: LeViT, folder: str | PathLike[str]) -> Path:
    """Write a network as a checkpoint of orbax, replacing an earlier one.

    The item `weights` is a dictionary of arrays under canonical names, the item `levit` the architecture, labels and
    preprocessing as JSON.

    Args:
        model: the network.
        folder: folder to write; on a cluster, one that all hosts share.

    Returns:
        The folder.

    Raises:
        CheckpointError: weights are not finite, or the folder cannot be written.

    Examples:
        >>> import levit.jax, tempfile
        >>> model = levit.jax.load("tests/golden/tiny/transformers")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     levit.jax.load_orbax(save_orbax(model, f"{folder}/checkpoint")).config == model.config
        True
    """
    folder = Path(folder)
    checkpoint = to_checkpoint(model, name=folder.name)
    description = checkpoint.as_artifact("fp32").to_metadata() | {"drop_path_rate": str(model.drop_path_rate)}
    items = {_WEIGHTS: ocp.args.StandardSave(checkpoint.weights), _DESCRIPTION: ocp.args.JsonSave(description)}
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(folder.absolute(), ocp.args.Composite(**items), force=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be written ({first_line(error)})", source=folder) from error
    return folder


def load_orbax(folder: str | PathLike[str], *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs | None = None) -> LeViT:
    """Load a checkpoint that `save_orbax` wrote.

    Args:
        folder: the checkpoint.
        dtype: type of the computation: float32 or bfloat16.
        rngs: random numbers of drop path; default: `nnx.Rngs(0)`.

    Raises:
        CheckpointError: the folder is not such a checkpoint, or is damaged.
    """
    folder = Path(folder)
    weights, description = _read(folder)
    with errors_name(folder.name):
        artifact = Artifact.from_metadata(description)
    checkpoint = Checkpoint(
        weights={name: np.asarray(array) for name, array in weights.items()},
        architecture=artifact.architecture,
        labels=artifact.labels,
        preprocessing=artifact.preprocessing,
        source=artifact.source,
        drop_path_rate=float(description.get("drop_path_rate", 0)),
        is_multi_label=artifact.is_multi_label,
    )
    return from_checkpoint(checkpoint, dtype=dtype, rngs=rngs)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    items = {_WEIGHTS: ocp.args.StandardRestore(), _DESCRIPTION: ocp.args.JsonRestore()}
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            restored = checkpointer.restore(folder.absolute(), ocp.args.Composite(**items))
        return restored[_WEIGHTS], restored[_DESCRIPTION]
    except (OSError, KeyError, ValueError) as error:
        reason = f"is not a checkpoint of levit.jax.save_orbax, or is damaged ({first_line(error)})"
        raise CheckpointError(reason, source=folder) from error
