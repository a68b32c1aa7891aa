"""LeViT in a page of float64 numpy, unfolded: the executable specification.

Slow, plain and independent: it takes nothing from the rest of the package but the fields of a configuration, so that
the folded weights, the graph, the torch network and every export have something to be checked against.
Shapes: B images, N tokens, C channels, H heads, K key and V value channels a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.spec.architecture import Architecture, Grid

Array = NDArray[np.float64]

_EPSILON = 1e-5  # of every batch norm


def evaluate(
    weights: Mapping[str, NDArray[Any]], architecture: Architecture, pixel_values: NDArray[Any]
) -> dict[str, Array]:
    """Run the network on preprocessed images.

    Args:
        weights: canonical name -> array, as `levit.read_checkpoint` gives them.
        architecture: what the network is.
        pixel_values: [B, channels, height, width], normalized.

    Returns:
        Every named intermediate, in order: `stem` and each block [B, N, C] under its canonical key,
        `last_hidden_state` [B, N, C], `pooler_output` [B, C], the heads `classifier` and `classifier_distill` and
        their mean `logits` [B, classes] where the network has them.
    """
    network = _Network({name: np.asarray(array, np.float64) for name, array in weights.items()}, architecture)
    return network.run(np.asarray(pixel_values, np.float64))


class _Network:
    def __init__(self, weights: dict[str, Array], architecture: Architecture) -> None:
        self.weights, self.architecture = weights, architecture

    def run(self, x: Array) -> dict[str, Array]:
        a = self.architecture
        for layer in range(1, a.num_stem_layers + 1):
            x = self.activate(x) if layer > 1 else x
            x = self.convolution(f"levit.patch_embeddings.embedding_layer_{layer}", x)  # [B, C, rows, columns]
        grid: Grid = (x.shape[2], x.shape[3])
        x = x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)  # [B, N, C]
        seen = {"stem": x}
        for stage, depth in enumerate(a.depths):
            key, position = f"levit.encoder.stages.{stage}.layers", 0
            for _ in range(depth):
                x = seen[f"{key}.{position}"] = x + self.attention(
                    f"{key}.{position}.module", x, grid, a.key_dim[stage]
                )
                position += 1
                if int(a.mlp_ratio[stage] * a.hidden_sizes[stage]):
                    x = seen[f"{key}.{position}"] = x + self.mlp(f"{key}.{position}.module", x)
                    position += 1
            if stage + 1 < len(a.depths):
                down = (a.downsamples or ())[stage]
                x = seen[f"{key}.{position}"] = self.attention(f"{key}.{position}", x, grid, down.key_dim, down.stride)
                grid = (-(-grid[0] // down.stride), -(-grid[1] // down.stride))
                if int(down.mlp_ratio * a.hidden_sizes[stage + 1]):
                    x = seen[f"{key}.{position + 1}"] = x + self.mlp(f"{key}.{position + 1}.module", x)
        seen |= {"last_hidden_state": x, "pooler_output": x.mean(1)}
        heads = ("classifier", "classifier_distill")[: a.num_classifiers] if a.num_labels else ()
        seen |= {head: self.head(head, seen["pooler_output"]) for head in heads}
        return seen | ({"logits": np.mean([seen[head] for head in heads], axis=0)} if heads else {})

    def attention(self, key: str, x: Array, grid: Grid, key_dim: int, stride: int | None = None) -> Array:
        """Inside a stage, where one layer makes q, k and v, or shrinking by `stride`."""
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
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        x = scores / scores.sum(-1, keepdims=True) @ v  # [B, H, queries, V]
        x = x.transpose(0, 2, 1, 3).reshape(len(x), len(tokens), -1)
        return self.linear(f"{key}.projection", self.activate(x))

    @staticmethod
    def offsets(queries_from: list[Grid], grid: Grid) -> NDArray[np.int64]:
        """Which bias each query gives each key: one for each distance in rows and columns, numbered as first met."""
        seen: dict[Grid, int] = {}
        keys = list(product(range(grid[0]), range(grid[1])))
        distances = [[(abs(q[0] - k[0]), abs(q[1] - k[1])) for k in keys] for q in queries_from]
        return np.array([[seen.setdefault(distance, len(seen)) for distance in row] for row in distances])

    @staticmethod
    def split(x: Array, heads: int, *sizes: int) -> list[Array]:
        """[B, N, H * channels] -> [B, H, N, size] for each size, and one for what remains."""
        x = x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
        return np.split(x, np.cumsum(sizes), axis=-1) if sizes else [x]

    def mlp(self, key: str, x: Array) -> Array:
        return self.linear(f"{key}.linear_down", self.activate(self.linear(f"{key}.linear_up", x)))

    def head(self, key: str, x: Array) -> Array:
        x = self.batch_norm(f"{key}.batch_norm", x)
        return x @ self.weights[f"{key}.linear.weight"].T + self.weights[f"{key}.linear.bias"]

    def linear(self, key: str, x: Array) -> Array:
        return self.batch_norm(f"{key}.batch_norm", x @ self.weights[f"{key}.linear.weight"].T)

    def convolution(self, key: str, x: Array) -> Array:
        a, kernel = self.architecture, self.weights[f"{key}.convolution.weight"]
        x = np.pad(x, ((0, 0), (0, 0), (a.padding, a.padding), (a.padding, a.padding)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))[:, :, :: a.stride, :: a.stride]
        x = np.einsum("bihwyx,oiyx->bhwo", windows, kernel, optimize=True)
        return self.batch_norm(f"{key}.batch_norm", x).transpose(0, 3, 1, 2)

    def batch_norm(self, key: str, x: Array) -> Array:
        mean, variance = self.weights[f"{key}.running_mean"], self.weights[f"{key}.running_var"]
        x = (x - mean) / np.sqrt(variance + _EPSILON)
        return x * self.weights[f"{key}.weight"] + self.weights[f"{key}.bias"]

    def activate(self, x: Array) -> Array:
        if self.architecture.activation == "silu":
            return x * np.exp(-np.logaddexp(0, -x))  # the sigmoid, without overflow
        gate: Array = np.clip(x + 3, 0, 6) / 6
        return x * gate
