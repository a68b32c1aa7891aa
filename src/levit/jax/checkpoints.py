"""Loading of checkpoints of any dialect as a network in JAX, and saving.

The path of a variable in the network is its canonical name, so weights are copied and never converted.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from levit.checkpoints.checkpoint import Checkpoint, Weights
from levit.checkpoints.dialects import HEADS, TRANSFORMERS
from levit.checkpoints.levit_folder import write_levit_folder
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.training_fields import TrainingFields
from levit.checkpoints.writing import write_checkpoint
from levit.errors import ConfigError, LevitWarning
from levit.jax.attention import AttentionMask
from levit.jax.network import LeViT
from levit.spec.artifact import Source
from levit.spec.labels import default_labels
from levit.spec.network import weight_shapes

WEIGHTS = (nnx.Param, nnx.BatchStat, AttentionMask)  # variables that are weights; others are random numbers


def load(
    path_or_id: str | PathLike[str] | Checkpoint,
    *,
    num_labels: int | None = None,
    drop_path_rate: float | None = None,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs | None = None,
    **kwargs: Any,
) -> LeViT:
    """Load a checkpoint of any dialect as a network in JAX.

    Args:
        path_or_id: file, folder or model ID on the hub, as for `levit.read_checkpoint`; or a checkpoint that was read.
        num_labels: number of classes. If it differs from the checkpoint's, the heads are newly initialized, with a
            warning.
        drop_path_rate: probability in [0, 1) of dropping a residual branch in training; default: the checkpoint's.
        dtype: type of the computation: float32 or bfloat16.
        rngs: random numbers of new heads and of drop path; default: `nnx.Rngs(0)`.
        **kwargs: `activation`, `image_size`, `revision` and `use_ema` of `levit.read_checkpoint`.

    Returns:
        The network, with float32 weights on the default device.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: the network is not implemented in JAX, or an option is invalid.
        TypeError: kwargs are given for a checkpoint that was read already.

    Examples:
        >>> import jax.numpy as jnp
        >>> model = load("tests/golden/tiny/transformers")
        >>> model(jnp.zeros((1, 3, 112, 112)), train=False).logits.shape
        (1, 10)
    """
    if isinstance(path_or_id, Checkpoint) and kwargs:
        raise TypeError(f"{', '.join(kwargs)}: not accepted together with a checkpoint that was read already")
    checkpoint = path_or_id if isinstance(path_or_id, Checkpoint) else read_checkpoint(path_or_id, **kwargs)
    if drop_path_rate is not None:
        checkpoint = replace(checkpoint, drop_path_rate=drop_path_rate)
    return from_checkpoint(checkpoint, num_labels=num_labels, dtype=dtype, rngs=rngs)


def from_checkpoint(
    checkpoint: Checkpoint,
    *,
    num_labels: int | None = None,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs | None = None,
) -> LeViT:
    """Build the network of a checkpoint that was read; see `load`."""
    architecture = checkpoint.architecture
    trained_labels = architecture.num_labels if architecture.num_classifiers else 0
    is_new_head = num_labels is not None and num_labels != trained_labels
    if num_labels is not None and is_new_head:
        num_heads = architecture.num_classifiers or 1
        architecture = replace(architecture, num_labels=num_labels, num_classifiers=num_heads)
        if architecture.num_labels < 1:
            raise ConfigError(f"{num_labels} is invalid", source="num_labels", hint="use at least 1")
        warnings.warn(
            f"{checkpoint.source.name}: {num_heads} head{'s' if num_heads > 1 else ''} for {num_labels} classes "
            f"instead of {trained_labels or 'none'}, newly initialized: train before use",
            LevitWarning,
            stacklevel=3,
        )
    model = LeViT(
        architecture,
        dtype=dtype,
        labels=default_labels(architecture.num_labels) if is_new_head else checkpoint.labels,
        preprocessing=checkpoint.preprocessing,
        rngs=rngs or nnx.Rngs(0),
        **_training_fields(checkpoint),
    )
    kept = {name: array for name, array in checkpoint.weights.items() if not (is_new_head and name.startswith(HEADS))}
    set_weights(model, kept)
    return model


def to_checkpoint(model: LeViT, *, name: str = "<LeViT in JAX>") -> Checkpoint:
    """Copy the weights of a network to a checkpoint, which `levit.export` and `levit.evaluate` accept.

    Args:
        model: the network.
        name: name of the checkpoint, for people.

    Raises:
        CheckpointError: weights are not finite.

    Examples:
        >>> import levit
        >>> model = load("tests/golden/tiny/transformers")
        >>> to_checkpoint(model).weights["classifier.linear.weight"].shape
        (10, 64)
    """
    return Checkpoint(
        weights=canonical_weights(model),
        architecture=model.config,
        labels=model.labels,
        preprocessing=model.preprocessing,
        source=Source(name=name, dialect=TRANSFORMERS.name),
        **_training_fields(model),
    )


def save(model: LeViT, target: str | PathLike[str], *, to: str | None = None) -> Path:
    """Write a network as a checkpoint, in the files of any library.

    Args:
        model: the network.
        target: folder or file to write, as for `levit.convert`.
        to: dialect, as for `levit.convert`; default: a folder of transformers' files for any network, with a model type
            that stock transformers refuses where it would compute the network wrongly.

    Returns:
        The path that was written.

    Raises:
        CheckpointError: weights are not finite, the target cannot be written, or the library has no such network.

    Examples:
        >>> import levit, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save(load("tests/golden/tiny/transformers"), f"{folder}/trained")
        ...     levit.read_checkpoint(path).num_parameters
        147730
    """
    checkpoint = to_checkpoint(model, name=Path(target).name)
    return write_levit_folder(checkpoint, target) if to is None else write_checkpoint(checkpoint, target, to=to)


def canonical_weights(model: LeViT) -> Weights:
    """Copy the weights of a network: canonical name -> array, in canonical order."""
    variables = nnx.to_flat_state(nnx.state(model, WEIGHTS))
    arrays = {_name(path): np.asarray(variable[...]) for path, variable in variables}
    return {
        name: arrays[name].astype(np.int64) if name.endswith("num_batches_tracked") else arrays[name]
        for name in weight_shapes(model.config)
    }


def set_weights(model: LeViT, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Replace weights of a network.

    Args:
        model: the network.
        weights: canonical name -> array, of all weights or some.
    """
    state = nnx.state(model, WEIGHTS)
    for path, variable in nnx.to_flat_state(state):
        if (name := _name(path)) in weights:
            variable.set_value(jnp.asarray(weights[name], variable[...].dtype))
    nnx.update(model, state)


def _training_fields(source: Checkpoint | LeViT) -> TrainingFields:
    """The fields that concern training, which a checkpoint and a network have under the same names."""
    return cast(TrainingFields, {name: getattr(source, name) for name in TrainingFields.__annotations__})


def _name(path: tuple[Any, ...]) -> str:
    """Canonical name of the variable at a path in the network."""
    return ".".join(map(str, path))
