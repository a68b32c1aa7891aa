"""Deployment network in numpy from folded arrays, in any precision: the function that the graph must compute."""

from __future__ import annotations

from math import prod

import numpy as np
from scipy.special import ndtr

from levit.deployment.folding import FoldedWeights
from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock
from levit.spec.network import encoder_blocks, stem_layers


class FoldedNetwork:
    def __init__(self, folded: FoldedWeights, architecture: Architecture, dtype: type = np.float64) -> None:
        self.folded = {name: array.astype(dtype) for name, array in folded.items()}
        self.architecture, self.dtype = architecture, dtype

    def __call__(self, pixel_values: np.ndarray) -> np.ndarray:
        x = self.stem(pixel_values.astype(self.dtype))
        for block in encoder_blocks(self.architecture):
            if isinstance(block, AttentionBlock):
                branch = self.attention(block, x)
                x = x + branch if block.is_residual else branch
            else:
                x = x + self.linear(f"{block.name}.down", self.activate(self.linear(f"{block.name}.up", x)))
        return self.linear("head", x.mean(1))

    def stem(self, x: np.ndarray) -> np.ndarray:
        layers = stem_layers(self.architecture)
        for layer in layers:
            border, kernel = layer.padding, self.folded[f"{layer.name}.weight"]
            x = np.pad(x, ((0, 0), (0, 0), border, border))
            windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))
            x = np.tensordot(windows[:, :, :: layer.stride, :: layer.stride], kernel, ([1, 4, 5], [1, 2, 3]))
            x = (x + self.folded[f"{layer.name}.bias"]).transpose(0, 3, 1, 2)
            x = x if layer is layers[-1] else self.activate(x, self.architecture.stem_activation)
        return x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)

    def attention(self, block: AttentionBlock, x: np.ndarray) -> np.ndarray:
        grid = x.reshape(len(x), *block.input_grid, -1)[:, :: block.stride, :: block.stride]
        sampled = grid.reshape(len(x), prod(block.output_grid), -1)
        sources = {"query": sampled, "key": x, "value": x}
        query, key, value = (
            self.linear(f"{block.name}.{name}", source)
            .reshape(*source.shape[:2], block.num_heads, -1)
            .transpose(0, 2, 1, 3)
            for name, source in sources.items()
        )
        scores = query @ key.transpose(0, 1, 3, 2) + self.folded[f"{block.name}.attention_bias"]
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = (scores / scores.sum(-1, keepdims=True)) @ value
        context = context.transpose(0, 2, 1, 3).reshape(*sampled.shape[:2], -1)
        return self.linear(f"{block.name}.projection", self.activate(context, self.architecture.attention_activation))

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.folded[f"{name}.weight"] + self.folded[f"{name}.bias"]

    def activate(self, x: np.ndarray, kind: str | None = None) -> np.ndarray:
        functions = {
            "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
            "silu": lambda x: x * np.exp(-np.logaddexp(0, -x)),
            "gelu": lambda x: x * ndtr(x),
            "gelu_tanh": lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
            "none": lambda x: x,
        }
        return functions[kind or self.architecture.activation](x)
