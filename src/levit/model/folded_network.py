"""Deployment network in torch: folded weights, inference only."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.folding import fold
from levit.errors import ConfigError
from levit.model.activations import ACTIVATIONS
from levit.spec.blocks import AttentionBlock
from levit.spec.network import encoder_blocks, stem_layers


class FoldedNetwork(nn.Module):
    """Inference network with batch norms, heads, attention scale and attention biases folded into its weights.

    All arrays are buffers, so there are no trainable parameters.

    Shapes: B images, N tokens, C channels, H heads, D channels per head.

    Args:
        checkpoint: checkpoint with at least one head, as `levit.read_checkpoint` returns it.
        dtype: floating-point dtype of weights and arithmetic; logits are always float32.

    Raises:
        ConfigError: the checkpoint has no head.

    Examples:
        >>> import levit
        >>> network = FoldedNetwork(levit.read_checkpoint("tests/golden/tiny/transformers"))
        >>> network(torch.zeros(2, 112, 112, 3, dtype=torch.uint8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.architecture, self.dtype = checkpoint.architecture, dtype
        folded = fold(checkpoint.weights, checkpoint.architecture)
        if "head.weight" not in folded:
            raise ConfigError(
                "the network has no head", source=checkpoint.source.name, hint="open a checkpoint of a classifier"
            )
        for name, array in folded.items():
            self.register_buffer(_buffer_name(name), _tensor(name, array).to(dtype))
        scale, shift = checkpoint.preprocessing.scale_and_shift()
        self.register_buffer("pixel_scale", torch.tensor(scale, device="cpu"))
        self.register_buffer("pixel_shift", torch.tensor(shift, device="cpu"))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of a batch of images.

        Args:
            images: uint8 [B, height, width, 3], RGB, resized and cropped; or float32 [B, channels, height, width],
                normalized.

        Returns:
            float32 [B, classes].
        """
        if images.dtype == torch.uint8:
            images = (images * self.get_buffer("pixel_scale") + self.get_buffer("pixel_shift")).permute(0, 3, 1, 2)
        x = self._stem(images.to(self.dtype, memory_format=torch.channels_last))
        for block in encoder_blocks(self.architecture):
            if isinstance(block, AttentionBlock):
                branch = self._attention(block, x)
                x = x + branch if block.is_residual else branch
            else:
                x = x + self._linear(f"{block.name}.down", self._activate(self._linear(f"{block.name}.up", x)))
        return self._linear("head", x.mean(1)).float()

    def _stem(self, x: Tensor) -> Tensor:
        layers = stem_layers(self.architecture)
        for layer in layers:
            weight, bias = self._get(f"{layer.name}.weight"), self._get(f"{layer.name}.bias")
            before, after = layer.padding
            if before == after:
                x = F.conv2d(x, weight, bias, layer.stride, before)
            else:
                x = F.conv2d(F.pad(x, (before, after, before, after)), weight, bias, layer.stride)
            x = x if layer is layers[-1] else self._activate(x, self.architecture.stem_activation)
        return x.flatten(2).transpose(1, 2)  # [B, N, C]

    def _attention(self, block: AttentionBlock, x: Tensor) -> Tensor:
        sampled = x
        if not block.is_residual:
            grid = x.unflatten(1, block.input_grid)
            sampled = grid[:, :: block.stride, :: block.stride].reshape(len(x), prod(block.output_grid), -1)
        query, key, value = (
            self._linear(f"{block.name}.{name}", tokens).unflatten(2, (block.num_heads, -1)).transpose(1, 2)
            for name, tokens in (("query", sampled), ("key", x), ("value", x))
        )  # [B, H, N, D]
        bias = self._get(f"{block.name}.attention_bias")
        scores = query @ key.transpose(-2, -1) + bias
        context = scores.softmax(-1) @ value
        context = context.transpose(1, 2).flatten(2)
        return self._linear(f"{block.name}.projection", self._activate(context, self.architecture.attention_activation))

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._get(f"{name}.weight"), self._get(f"{name}.bias"))

    def _activate(self, x: Tensor, kind: str | None = None) -> Tensor:
        activation: Tensor = ACTIVATIONS[kind or self.architecture.activation]()(x)
        return activation

    def _get(self, name: str) -> Tensor:
        return self.get_buffer(_buffer_name(name))


def _buffer_name(name: str) -> str:
    return name.replace(".", "/")  # names of buffers must not contain dots


def _tensor(name: str, array: np.ndarray) -> Tensor:
    """Convert a folded array to torch's layout: linear weights [outputs, inputs], kernels channels-last."""
    tensor = torch.from_numpy(np.ascontiguousarray(array.T if array.ndim == 2 else array))
    return (
        tensor.contiguous(memory_format=torch.channels_last) if name.startswith("stem") and tensor.ndim == 4 else tensor
    )
