"""Checkpoints of orbax: canonical weights as one tree, and their description as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.experimental.multihost_utils import sync_global_devices
from jax.typing import DTypeLike

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.training_fields import MULTI_LABEL, TrainingFields, training_fields
from levit.errors import CheckpointError, errors_name, first_line
from levit.files import remove, sync, temporary_path
from levit.jax.checkpoints import from_checkpoint, to_checkpoint
from levit.jax.network import LeViT
from levit.spec.artifact import Artifact
from levit.spec.distillation import DISTILLATION_DEFAULTS

_WEIGHTS, _DESCRIPTION = "weights", "levit"  # items of the checkpoint
_TRAINING_FIELDS = ("drop_path_rate", "initializer_range", "problem_type", *DISTILLATION_DEFAULTS)
"""Further fields of the description: those of a configuration of transformers that concern training."""

_METADATA = "_CHECKPOINT_METADATA"  # a file that orbax writes into every checkpoint
_NAMES_OF_ORBAX = ("_", "commit_success")  # beginnings of the names of its files


def save_orbax(model: LeViT, folder: str | PathLike[str]) -> Path:
    """Write a network as a checkpoint of orbax, replacing an earlier one once the new one is complete.

    The item `weights` is a dictionary of arrays under canonical names, the item `levit` the architecture, labels and
    preprocessing as JSON.

    Args:
        model: the network.
        folder: folder to write: new, empty, or an earlier checkpoint; on a cluster, one that all hosts share.

    Returns:
        The folder.

    Raises:
        CheckpointError: weights are not finite, the folder has other content, or it cannot be written.

    Examples:
        >>> import levit.jax, tempfile
        >>> model = levit.jax.load("tests/golden/tiny/transformers")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     levit.jax.load_orbax(save_orbax(model, f"{folder}/checkpoint")).config == model.config
        True
    """
    folder, target = Path(folder), Path(os.path.realpath(folder))
    checkpoint = to_checkpoint(model, name=target.name)
    training = {name: getattr(checkpoint, name) for name in _TRAINING_FIELDS}
    if checkpoint.is_multi_label:
        training["problem_type"] = MULTI_LABEL
    description = checkpoint.as_artifact("fp32").to_metadata()
    description |= {name: json.dumps(value) for name, value in training.items()}
    items = {_WEIGHTS: ocp.args.StandardSave(checkpoint.weights), _DESCRIPTION: ocp.args.JsonSave(description)}
    try:
        _check_replaceable(target)
        with _replacing(target) as new, ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(new, ocp.args.Composite(**items), force=True)
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
    weights, description, training = _read(folder)
    with errors_name(folder.name):
        artifact = Artifact.from_metadata(description)
    checkpoint = Checkpoint(
        weights={name: np.asarray(array) for name, array in weights.items()},
        architecture=artifact.architecture,
        labels=artifact.labels,
        preprocessing=artifact.preprocessing,
        source=artifact.source,
        **training,
    )
    return from_checkpoint(checkpoint, dtype=dtype, rngs=rngs)


def _check_replaceable(folder: Path) -> None:
    """Refuse a folder with any content but a checkpoint of `save_orbax`, because it would be deleted."""
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    is_own = names >= {_DESCRIPTION, _METADATA} and all(
        name.startswith(_NAMES_OF_ORBAX) for name in names - {_WEIGHTS, _DESCRIPTION}
    )
    if names and not is_own:
        reason = "is not replaced, because it has other content than a checkpoint of levit.jax.save_orbax"
        raise CheckpointError(reason, source=folder, hint="give a new folder")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Write a checkpoint beside its folder and rename it at the end, so that a failing save keeps the earlier one.

    All hosts of a cluster write to one path, so its name is not random; the first host renames it.
    """
    partial, is_first_host = target.with_name(f".{target.name}.partial"), jax.process_index() == 0
    try:
        yield partial / "new"
        if is_first_host:
            sync(partial)
            _exchange(partial / "new", target)
        if jax.process_count() > 1:  # the others wait for it
            sync_global_devices(f"levit.jax.save_orbax {target}")
    finally:
        if is_first_host:
            remove(partial)


def _exchange(new: Path, target: Path) -> None:
    """Rename a folder to one that may exist, and delete the earlier one."""
    earlier = temporary_path(target.parent)
    if target.exists():
        target.rename(earlier)
    try:
        new.rename(target)
    except OSError:
        if earlier.exists():
            earlier.rename(target)
        raise
    remove(earlier)


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str], TrainingFields]:
    items = {_WEIGHTS: ocp.args.StandardRestore(), _DESCRIPTION: ocp.args.JsonRestore()}
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            restored = checkpointer.restore(folder.absolute(), ocp.args.Composite(**items))
        description = restored[_DESCRIPTION]
        training = training_fields({name: json.loads(description[name]) for name in _TRAINING_FIELDS})
        return restored[_WEIGHTS], description, training
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = f"is not a checkpoint of levit.jax.save_orbax, or is damaged ({first_line(error)})"
        raise CheckpointError(reason, source=folder) from error
