"""Reference implementation of LeViT in float64 numpy, without folding: the executable specification.

It is slow and simple, and uses only the fields of `Architecture` from the package, so that the folded weights, the
graph, the torch network and each export can be checked against it.
Shapes: B images, N tokens, C channels, H heads, K key and V value channels per head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from math import erf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.spec.architecture import Architecture, Grid

Array = NDArray[np.float64]

_EPSILON = 1e-5  # of each batch norm


def run_reference(
    weights: Mapping[str, NDArray[Any]], architecture: Architecture, pixel_values: NDArray[Any]
) -> dict[str, Array]:
    """Run the network on preprocessed images.

    Args:
        weights: canonical name -> array, as in `Checkpoint.weights`.
        architecture: hyperparameters of the network.
        pixel_values: [B, channels, height, width], normalized.

    Returns:
        All intermediate results by name, in order, float64: `stem` and each block under its canonical key [B, N, C],
        `last_hidden_state` [B, N, C], `pooler_output` [B, C], and, if the network has heads, the logits of
        `classifier` and `classifier_distill` and their mean `logits` [B, classes].

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> outputs = run_reference(checkpoint.weights, checkpoint.architecture, np.zeros((1, 3, 112, 112)))
        >>> outputs["logits"].shape
        (1, 10)
    """
    network = _Network({name: np.asarray(array, np.float64) for name, array in weights.items()}, architecture)
    return network.run(np.asarray(pixel_values, np.float64))


class _Network:
    def __init__(self, weights: dict[str, Array], architecture: Architecture) -> None:
        self.weights, self.architecture = weights, architecture

    def run(self, x: Array) -> dict[str, Array]:
        a = self.architecture
        for layer in range(1, a.num_stem_layers + 1):
            x = self.activate(x, a.stem_activation) if layer > 1 else x
            x = self.convolution(f"levit.patch_embeddings.embedding_layer_{layer}", x)  # [B, C, rows, columns]
        grid: Grid = (x.shape[2], x.shape[3])
        x = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)  # [B, N, C]
        outputs = {"stem": x}
        for stage, depth in enumerate(a.depths):
            key, position = f"levit.encoder.stages.{stage}.layers", 0
            for _ in range(depth):
                x = outputs[f"{key}.{position}"] = x + self.attention(
                    f"{key}.{position}.module", x, grid, a.key_dim[stage]
                )
                position += 1
                if int(a.mlp_ratio[stage] * a.hidden_sizes[stage]):
                    x = outputs[f"{key}.{position}"] = x + self.mlp(f"{key}.{position}.module", x)
                    position += 1
            if stage + 1 < len(a.depths):
                down = (a.downsamples or ())[stage]
                x = outputs[f"{key}.{position}"] = self.attention(
                    f"{key}.{position}", x, grid, down.key_dim, down.stride
                )
                grid = (-(-grid[0] // down.stride), -(-grid[1] // down.stride))
                if int(down.mlp_ratio * a.hidden_sizes[stage + 1]):
                    x = outputs[f"{key}.{position + 1}"] = x + self.mlp(f"{key}.{position + 1}.module", x)
        outputs |= {"last_hidden_state": x, "pooler_output": x.mean(1)}
        heads = ("classifier", "classifier_distill")[: a.num_classifiers] if a.num_labels else ()
        outputs |= {head: self.head(head, outputs["pooler_output"]) for head in heads}
        return outputs | ({"logits": np.mean([outputs[head] for head in heads], axis=0)} if heads else {})

    def attention(self, key: str, x: Array, grid: Grid, key_dim: int, stride: int | None = None) -> Array:
        """Attention inside a stage, where one layer computes q, k and v; or with a stride, between two stages."""
        queries_from = list(product(range(0, grid[0], stride or 1), range(0, grid[1], stride or 1)))
        tokens = [row * grid[1] + column for row, column in queries_from]
        biases = self.weights[f"{key}.attention_biases"]
        if stride is None:
            q, k, v = self.split(self.linear(f"{key}.queries_keys_values", x), len(biases), key_dim, key_dim)
        else:
            k, v = self.split(self.linear(f"{key}.keys_values", x), len(biases), key_dim)
            (q,) = self.split(self.linear(f"{key}.queries", x[:, tokens]), len(biases))
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(key_dim)  # [B, H, queries, N]
        scores = scores + biases[:, self.offsets(queries_from, grid)]
        if self.architecture.has_attention_masks:
            scores = np.where(self.weights[f"{key}.attention_mask"] != 0, scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        x = scores / scores.sum(-1, keepdims=True) @ v  # [B, H, queries, V]
        x = x.transpose(0, 2, 1, 3).reshape(len(x), len(tokens), -1)
        return self.linear(f"{key}.projection", self.activate(x, self.architecture.attention_activation))

    @staticmethod
    def offsets(queries_from: list[Grid], grid: Grid) -> NDArray[np.int64]:
        """Bias index of each query and key: distances in rows and columns, numbered in order of first occurrence."""
        indices: dict[Grid, int] = {}
        keys = list(product(range(grid[0]), range(grid[1])))
        distances = [[(abs(q[0] - k[0]), abs(q[1] - k[1])) for k in keys] for q in queries_from]
        return np.array([[indices.setdefault(distance, len(indices)) for distance in row] for row in distances])

    @staticmethod
    def split(x: Array, heads: int, *sizes: int) -> list[Array]:
        """[B, N, H * channels] -> [B, H, N, size] for each size, and for the remaining channels."""
        x = x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        return np.split(x, np.cumsum(sizes), axis=-1) if sizes else [x]

    def mlp(self, key: str, x: Array) -> Array:
        layer = self.linear if self.architecture.mlp_batch_norm else self.linear_with_bias
        return layer(f"{key}.linear_down", self.activate(layer(f"{key}.linear_up", x)))

    def head(self, key: str, x: Array) -> Array:
        x = self.batch_norm(f"{key}.batch_norm", x) if self.architecture.head_batch_norm else x
        return self.linear_with_bias(key, x)

    def linear(self, key: str, x: Array) -> Array:
        return self.batch_norm(f"{key}.batch_norm", x @ self.weights[f"{key}.linear.weight"].T)

    def linear_with_bias(self, key: str, x: Array) -> Array:
        return x @ self.weights[f"{key}.linear.weight"].T + self.weights[f"{key}.linear.bias"]

    def convolution(self, key: str, x: Array) -> Array:
        a, kernel = self.architecture, self.weights[f"{key}.convolution.weight"]
        padding = (a.padding, a.padding) if isinstance(a.padding, int) else a.padding
        x = np.pad(x, ((0, 0), (0, 0), padding, padding))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))[:, :, :: a.stride, :: a.stride]
        x = np.einsum("bihwyx,oiyx->bhwo", windows, kernel, optimize=True)
        normed = (
            self.batch_norm(f"{key}.batch_norm", x)
            if a.stem_batch_norm
            else x + self.weights[f"{key}.convolution.bias"]
        )
        return normed.transpose(0, 3, 1, 2)

    def batch_norm(self, key: str, x: Array) -> Array:
        mean, variance = self.weights[f"{key}.running_mean"], self.weights[f"{key}.running_var"]
        x = (x - mean) / np.sqrt(variance + _EPSILON)
        return x * self.weights[f"{key}.weight"] + self.weights[f"{key}.bias"]

    def activate(self, x: Array, kind: str | None = None) -> Array:
        return x * _GATES[kind or self.architecture.activation](x)


# Each activation is the product of its input and a gate.
_GATES: dict[str, Callable[[Array], Array]] = {
    "hardswish": lambda x: np.clip(x + 3, 0, 6) / 6,
    "silu": lambda x: np.exp(-np.logaddexp(0, -x)),  # the sigmoid, without overflow
    "gelu": lambda x: (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2,
    "gelu_tanh": lambda x: (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
    "none": np.ones_like,
}
