"""Building blocks: convolution and linear layers with batch norm, MLP, residual connection, classification head.

Shapes: B images, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from levit.model.activations import ACTIVATIONS


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm over rows that also accepts a single row in training mode.

    torch refuses a single row in training mode, because one value has no variance. The last batch of an epoch may
    hold one image, so a single row is normalized by the running statistics, which it does not update.

    Args:
        channels: number of channels C.
        zero_init: initialize the weight to 0 instead of 1. For the last layer of a residual branch, so that a new
            block is the identity.
    """

    def __init__(self, channels: int, *, zero_init: bool = False) -> None:
        super().__init__(channels)
        self.zero_init = zero_init

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [rows, C] -> [rows, C]."""
        if self.training and x.shape[0] == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ImageBatchNorm(nn.BatchNorm2d):
    """Batch norm over images that also accepts a single pixel in training mode.

    One image that the stem reduces to one token is normalized by the running statistics, as in `TokenBatchNorm`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [B, C, height, width] -> [B, C, height, width]."""
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ConvolutionBatchNorm(nn.Module):
    """Convolution without bias, followed by batch norm; or with a bias, and without batch norm.

    Args:
        input_channels: channels of the input.
        output_channels: channels of the output.
        kernel_size: side of the kernel in pixels.
        stride: step of the kernel in pixels.
        padding: zeros added before and after the rows, and the columns, in pixels.
        has_batch_norm: whether batch norm follows.
    """

    def __init__(
        self,
        *,
        input_channels: int,
        output_channels: int,
        kernel_size: int,
        stride: int,
        padding: tuple[int, int],
        has_batch_norm: bool = True,
    ) -> None:
        super().__init__()
        before, after = padding
        self.padding = None if before == after else (before, after, before, after)
        symmetric = before if self.padding is None else 0
        self.convolution = nn.Conv2d(
            input_channels, output_channels, kernel_size, stride, symmetric, bias=not has_batch_norm
        )
        self.batch_norm = ImageBatchNorm(output_channels) if has_batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalize [B, C, height, width] -> [B, output channels, height, width after the stride]."""
        if self.padding is not None:
            x = functional.pad(x, self.padding)
        x = self.convolution(x)
        return self.batch_norm(x)


class BiasedLinear(nn.Linear):
    """Linear layer with a bias, for layers inside the network that have no batch norm.

    Args:
        input_width: channels of the input.
        output_width: channels of the output.
        zero_init: initialize the weight to 0, as the last layer of a residual branch, so that a new block is the
            identity.
    """

    def __init__(self, input_width: int, output_width: int, *, zero_init: bool) -> None:
        super().__init__(input_width, output_width)
        self.zero_init = zero_init


class LinearBatchNorm(nn.Module):
    """Linear layer without bias, followed by batch norm over all tokens of all images; or with a bias only.

    Args:
        input_width: channels of the input.
        output_width: channels of the output.
        zero_init: initialize the weight of the batch norm to 0 (see `TokenBatchNorm`), or that of the linear layer.
        has_batch_norm: whether batch norm follows; otherwise the linear layer has a bias.
    """

    def __init__(
        self, *, input_width: int, output_width: int, zero_init: bool = False, has_batch_norm: bool = True
    ) -> None:
        super().__init__()
        if has_batch_norm:
            self.linear = nn.Linear(input_width, output_width, bias=False)
            self.batch_norm: TokenBatchNorm | None = TokenBatchNorm(output_width, zero_init=zero_init)
        else:
            self.linear = BiasedLinear(input_width, output_width, zero_init=zero_init)
            self.batch_norm = None

    def forward(self, x: Tensor) -> Tensor:
        """Transform [B, ..., input width] -> [B, ..., output width]."""
        x = self.linear(x)
        if self.batch_norm is None:
            return x
        return self.batch_norm(x.flatten(0, -2)).reshape_as(x)


class Mlp(nn.Module):
    """Multi-layer perceptron: two linear layers with an activation between them.

    Args:
        width: channels of input and output.
        hidden_width: channels between the two layers.
        activation: a key of `ACTIVATIONS`.
        has_batch_norm: whether batch norm follows each layer; otherwise the layers have a bias.
    """

    def __init__(self, *, width: int, hidden_width: int, activation: str, has_batch_norm: bool = True) -> None:
        super().__init__()
        self.linear_up = LinearBatchNorm(input_width=width, output_width=hidden_width, has_batch_norm=has_batch_norm)
        self.activation = ACTIVATIONS[activation]()
        self.linear_down = LinearBatchNorm(
            input_width=hidden_width, output_width=width, zero_init=True, has_batch_norm=has_batch_norm
        )

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Transform [B, ..., C] -> [B, ..., C]; the attention function that `Residual` passes on is ignored."""
        x = self.activation(self.linear_up(x))
        return self.linear_down(x)


class Residual(GradientCheckpointingLayer):
    """Residual connection with stochastic depth (drop path) per image.

    Args:
        module: the residual branch, [B, rows, columns, C] -> [B, rows, columns, C].
        drop_path_rate: probability in [0, 1) of dropping the branch of an image in training mode.
    """

    def __init__(self, module: nn.Module, *, drop_path_rate: float) -> None:
        super().__init__()
        self.module = module
        self.drop_path_rate = drop_path_rate

    def forward(self, x: Tensor, *arguments: object) -> Tensor:
        """Add the branch to its input; `arguments` are passed to the branch.

        Args:
            x: [B, rows, columns, C].
            *arguments: further arguments of the branch.

        Returns:
            [B, rows, columns, C].
        """
        branch = self.module(x, *arguments)
        if self.training and self.drop_path_rate > 0:
            is_kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.drop_path_rate
            branch = branch * (is_kept / (1 - self.drop_path_rate)).to(x.dtype)
        return x + branch


class ClassificationHead(nn.Module):
    """Batch norm, unless there is none, and a linear layer on the mean of the tokens.

    Args:
        width: channels C of the input.
        num_labels: number of classes.
        has_batch_norm: whether there is batch norm.
    """

    def __init__(self, *, width: int, num_labels: int, has_batch_norm: bool = True) -> None:
        super().__init__()
        self.batch_norm = TokenBatchNorm(width) if has_batch_norm else nn.Identity()
        self.linear = nn.Linear(width, num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits: [B, C] -> [B, classes]."""
        return self.linear(self.batch_norm(x))
