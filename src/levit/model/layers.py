"""Conv and linear layers with batch norm, MLP, residual with drop path, head.

Shapes: B images, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

ACTIVATIONS: dict[str, type[nn.Module]] = {"hardswish": nn.Hardswish, "silu": nn.SiLU}


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm that also trains on a single row, by its running statistics.

    torch refuses a batch of one in training, because one value has no variance. One image in the last batch of an
    epoch is no reason to stop, so that row is normalized as in evaluation and leaves the statistics alone.
    `starts_at_zero` marks the last layer of a residual branch: its weight is initialized to 0, so that a new network
    begins as its shortcut.
    """

    def __init__(self, channels: int, *, starts_at_zero: bool = False) -> None:
        super().__init__(channels)
        self.starts_at_zero = starts_at_zero

    def forward(self, x: Tensor) -> Tensor:
        """[rows, C] -> [rows, C]."""
        if self.training and x.shape[0] == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ImageBatchNorm(nn.BatchNorm2d):
    """The same for images: one image that the stem has shrunk to a single token."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, height, width] -> [B, C, height, width]."""
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ConvolutionBatchNorm(nn.Module):
    """A convolution without bias, and batch norm."""

    def __init__(
        self, *, input_channels: int, output_channels: int, kernel_size: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(input_channels, output_channels, kernel_size, stride, padding, bias=False)
        self.batch_norm = ImageBatchNorm(output_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, height, width] -> [B, C, height, width]."""
        x = self.convolution(x)
        return self.batch_norm(x)


class LinearBatchNorm(nn.Module):
    """A linear layer without bias, and batch norm over all tokens of all images."""

    def __init__(self, *, input_width: int, output_width: int, starts_at_zero: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(input_width, output_width, bias=False)
        self.batch_norm = TokenBatchNorm(output_width, starts_at_zero=starts_at_zero)

    def forward(self, x: Tensor) -> Tensor:
        """[B, ..., C] -> [B, ..., C]."""
        x = self.linear(x)
        return self.batch_norm(x.flatten(0, -2)).reshape_as(x)


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, *, width: int, hidden_width: int, activation: str) -> None:
        super().__init__()
        self.linear_up = LinearBatchNorm(input_width=width, output_width=hidden_width)
        self.activation = ACTIVATIONS[activation]()
        self.linear_down = LinearBatchNorm(input_width=hidden_width, output_width=width, starts_at_zero=True)

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """[B, ..., C] -> [B, ..., C]; what attention needs beside is given to every branch, and left here."""
        x = self.activation(self.linear_up(x))
        return self.linear_down(x)


class Residual(GradientCheckpointingLayer):
    """Adds a branch to its input; in training leaves it out for a share of the images (drop path)."""

    def __init__(self, module: nn.Module, *, drop_path_rate: float) -> None:
        super().__init__()
        self.module = module
        self.drop_path_rate = drop_path_rate

    def forward(self, x: Tensor, *context: object) -> Tensor:
        """[B, rows, columns, C] -> [B, rows, columns, C]."""
        branch = self.module(x, *context)
        if self.training and self.drop_path_rate > 0:
            kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.drop_path_rate
            branch = branch * (kept / (1 - self.drop_path_rate)).to(x.dtype)
        return x + branch


class ClassificationHead(nn.Module):
    """Batch norm and a linear layer on the mean of the tokens."""

    def __init__(self, *, width: int, num_labels: int) -> None:
        super().__init__()
        self.batch_norm = TokenBatchNorm(width)
        self.linear = nn.Linear(width, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C] -> [B, classes]."""
        return self.linear(self.batch_norm(x))
