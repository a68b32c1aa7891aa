"""Keys and arrays of LeViT-flax, a port of vit-pytorch's `LeViT`, as those of vit-pytorch, and back.

Keys are the names of nested maps, joined by slashes: `params/Transformer_0/Attention_1/Conv_0/kernel`. Kernels are
[rows, columns, inputs, outputs], and weights of dense layers [inputs, outputs].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.vit_pytorch_weights import ARCHITECTURE_FIELDS as VIT_PYTORCH_FIELDS

# Flax pads for equal shapes before and after, which is one zero after even sizes, and approximates GELU.
ARCHITECTURE_FIELDS: dict[str, Any] = {**VIT_PYTORCH_FIELDS, "attention_activation": "gelu_tanh", "padding": (0, 1)}

_FIRST_KEY = "params/Conv_0/kernel"
_CONVOLUTIONS = {"to_q.0": 0, "to_k.0": 1, "to_v.0": 2, "to_out.1": 3}
_NORMS = {"to_q.1": 0, "to_k.1": 1, "to_v.1": 2, "to_out.2": 3}
_NORM_TENSORS = {
    "weight": "params/{}/scale",
    "bias": "params/{}/bias",
    "running_mean": "batch_stats/{}/mean",
    "running_var": "batch_stats/{}/var",
}
_BLOCK = re.compile(r"backbone\.(\d+)\.layers\.(\d+)\.0\.to_q\.0\.weight")
_FLAX_BLOCK = re.compile(r"params/Transformer_(\d+)/Attention_(\d+)/Conv_0/kernel")

_KERNEL, _FROM_KERNEL = (2, 3, 1, 0), (3, 2, 0, 1)  # orders of axes


def is_flax(keys: Iterable[str]) -> bool:
    """Return whether the keys of a file are those of LeViT-flax."""
    return _FIRST_KEY in keys


def from_flax(arrays: Weights) -> Weights:
    """Weights of vit-pytorch, except offset tables; keys that are not in the network keep their names.

    Args:
        arrays: key -> array.
    """
    names = {key: name for name, key in flax_keys(arrays).items()}
    weights = {names.get(key, key): _reordered(array, key, _FROM_KERNEL) for key, array in arrays.items()}
    variance = ".running_var"
    norms = [name.removesuffix(variance) for name in weights if name.endswith(variance)]
    return weights | {f"{norm}.num_batches_tracked": np.array(0) for norm in norms}


def flax_keys(keys: Iterable[str]) -> dict[str, str]:
    """Key of each weight in vit-pytorch -> key in a file of LeViT-flax.

    Args:
        keys: keys of the file.
    """
    keys = set(keys)
    return dict(_keys(_blocks(_FLAX_BLOCK, keys), "params/Dense_1/kernel" in keys))


def to_flax(weights: Weights) -> Weights:
    """Inverse of `from_flax`: keys and arrays of LeViT-flax for the weights of vit-pytorch.

    Args:
        weights: key of vit-pytorch -> array.
    """
    keys = dict(_keys(_blocks(_BLOCK, weights), "distill_head.weight" in weights))
    return {keys[name]: _reordered(array, keys[name], _KERNEL) for name, array in weights.items() if name in keys}


def _blocks(pattern: re.Pattern[str], keys: Iterable[str]) -> list[tuple[str, ...]]:
    """Numbers of the transformer and of the attention, of all attentions."""
    return [match.groups() for match in map(pattern.fullmatch, keys) if match]


def _keys(blocks: list[tuple[str, ...]], has_two_heads: bool) -> Iterator[tuple[str, str]]:
    """Name of each weight in vit-pytorch, and its key; biases of convolutions that have none among them."""
    layers = {f"conv_embedding.{index}": f"Conv_{index}" for index in range(4)}
    heads = ("distill_head", "mlp_head") if has_two_heads else ("mlp_head",)
    layers |= {head: f"Dense_{index}" for index, head in enumerate(heads)}
    for transformer, block in blocks:
        prefix, scope = f"backbone.{transformer}.layers.{block}", f"Transformer_{transformer}"
        attention = f"{scope}/Attention_{block}"
        layers |= {f"{prefix}.0.{name}": f"{attention}/Conv_{index}" for name, index in _CONVOLUTIONS.items()}
        layers |= {f"{prefix}.1.net.{3 * index}": f"{scope}/MLP_{block}/Conv_{index}" for index in range(2)}
        yield f"{prefix}.0.pos_bias.weight", f"params/{attention}/Embed_0/embedding"
        for name, index in _NORMS.items():
            for tensor, key in _NORM_TENSORS.items():
                yield f"{prefix}.0.{name}.{tensor}", key.format(f"{attention}/BatchNorm_{index}")
    for name, layer in layers.items():
        yield f"{name}.weight", f"params/{layer}/kernel"
        yield f"{name}.bias", f"params/{layer}/bias"


def _reordered(array: NDArray[Any], key: str, kernel_axes: tuple[int, ...]) -> NDArray[Any]:
    """Kernel of a convolution with its axes in another order, or matrix of a dense layer transposed."""
    if not key.endswith("/kernel") or array.ndim not in (2, 4):
        return array
    return np.ascontiguousarray(array.transpose(kernel_axes if array.ndim == 4 else (1, 0)))
