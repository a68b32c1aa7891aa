"""Names and shapes of the weights of single layers."""

from __future__ import annotations

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

# Parameters, running statistics, and the number of batches that they were computed from.
BATCH_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def linear(key: str, inputs: int, outputs: int) -> Shapes:
    """Linear layer without bias, and the batch norm after it."""
    return {f"{key}.linear.weight": (outputs, inputs)} | batch_norm(f"{key}.batch_norm", outputs)


def linear_with_bias(key: str, inputs: int, outputs: int) -> Shapes:
    """Linear layer with a bias."""
    return {f"{key}.linear.weight": (outputs, inputs), f"{key}.linear.bias": (outputs,)}


def batch_norm(key: str, channels: int) -> Shapes:
    """Batch norm with its running statistics."""
    vectors = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (channels,))
    return {f"{key}.{name}": shape for name, shape in vectors.items()} | {f"{key}.num_batches_tracked": ()}
