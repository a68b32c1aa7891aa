"""Blocks of a LeViT: their weight shapes under canonical names, and their multiply-adds.

The field `key` of a block is the prefix of the canonical names of its weights; `name` is the prefix of the names of its
nodes and weights in the deployment network. Blocks are named tuples, whose classes are created faster than
frozen data classes: every process that opens a model imports this module.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from levit.spec.architecture import Grid
from levit.spec.layer_shapes import Shape as Shape
from levit.spec.layer_shapes import Shapes as Shapes
from levit.spec.layer_shapes import batch_norm, linear, linear_with_bias

MASK = "attention_mask"  # bool [heads, queries, keys], True where the key is used


class StemLayer(NamedTuple):
    """Convolution of the stem with its batch norm or bias; an activation follows each of them except the last.

    Attributes:
        key, name: see the module.
        input_channels, output_channels: channels.
        kernel_size, stride: in pixels, the same for height and width.
        padding: zeros before and after the rows, and the columns.
        output_grid: height and width of the output.
        has_batch_norm: whether a batch norm follows; otherwise the convolution has a bias.
    """

    key: str
    name: str
    input_channels: int
    output_channels: int
    kernel_size: int
    stride: int
    padding: tuple[int, int]
    output_grid: Grid
    has_batch_norm: bool

    def weight_shapes(self) -> Shapes:
        """Canonical names and shapes of the weights."""
        kernel = (self.output_channels, self.input_channels, self.kernel_size, self.kernel_size)
        bias: Shapes = {f"{self.key}.convolution.bias": kernel[:1]}
        others = batch_norm(f"{self.key}.batch_norm", kernel[0]) if self.has_batch_norm else bias
        return {f"{self.key}.convolution.weight": kernel} | others

    def flops(self) -> int:
        """Multiply-adds for one image."""
        kernel = self.input_channels * self.output_channels * self.kernel_size**2
        return kernel * prod(self.output_grid)


class AttentionBlock(NamedTuple):
    """Multi-head attention with a bias per head and offset, inside a stage or between two stages.

    Inside a stage it is a residual branch, and one linear layer computes queries, keys and values. Between two stages
    it subsamples: the queries are every `stride`-th token, the width changes, and there is no residual connection.

    Attributes:
        key, name: see the module.
        input_width, output_width: channels of a token.
        num_heads: number of heads.
        key_dim, value_dim: channels of a query and of a key, and of a value, in each head.
        input_grid, output_grid: rows and columns of the keys and values, and of the queries.
        stride: distance of the tokens that queries are computed from; 1 inside a stage.
        is_residual: whether the input is added to the output, as in all blocks inside a stage.
        has_mask: whether a mask removes keys of single queries.
    """

    key: str
    name: str
    input_width: int
    output_width: int
    num_heads: int
    key_dim: int
    value_dim: int
    input_grid: Grid
    output_grid: Grid
    stride: int
    is_residual: bool
    has_mask: bool = False

    @property
    def map_shape(self) -> Shape:
        """Heads, queries and keys: the shape of the attention and of its mask."""
        return (self.num_heads, prod(self.output_grid), prod(self.input_grid))

    def weight_shapes(self) -> Shapes:
        """Canonical names and shapes of the weights."""
        keys, values = self.num_heads * self.key_dim, self.num_heads * self.value_dim
        shapes: Shapes = {f"{self.key}.attention_biases": (self.num_heads, prod(self.input_grid))}
        if self.has_mask:
            shapes[f"{self.key}.{MASK}"] = self.map_shape
        if self.is_residual:
            shapes |= linear(f"{self.key}.queries_keys_values", self.input_width, 2 * keys + values)
        else:
            shapes |= linear(f"{self.key}.keys_values", self.input_width, keys + values)
            shapes |= linear(f"{self.key}.queries", self.input_width, keys)
        return shapes | linear(f"{self.key}.projection", values, self.output_width)

    def offset_table(self) -> list[list[int]]:
        """Index of the attention bias of each query (rows of the table) and key (columns).

        A bias belongs to a distance in rows and columns of the grid. The reference implementations number the
        distances in the order of their first occurrence, and the first query has all of them in row-major order, so
        the index is `rows * width + columns`.
        """
        (height, width), stride = self.input_grid, self.stride
        queries = [(row, column) for row in range(0, height, stride) for column in range(0, width, stride)]
        keys = [(row, column) for row in range(height) for column in range(width)]
        return [[abs(q[0] - k[0]) * width + abs(q[1] - k[1]) for k in keys] for q in queries]

    def flops(self) -> int:
        """Multiply-adds for one image; each entry of a softmax counts as one, as in the paper's code."""
        inputs, outputs = prod(self.input_grid), prod(self.output_grid)
        keys, values = self.num_heads * self.key_dim, self.num_heads * self.value_dim
        linear = self.input_width * ((keys + values) * inputs + keys * outputs) + values * self.output_width * outputs
        attention = outputs * inputs * (keys + self.num_heads + values)
        return linear + attention


class MlpBlock(NamedTuple):
    """Residual branch of two linear layers with an activation between them, applied to each token.

    Attributes:
        key, name: see the module.
        width, hidden_width: channels of a token, and between the two layers.
        grid: rows and columns of the tokens.
        has_batch_norm: whether a batch norm follows each layer; otherwise the layers have a bias.
    """

    key: str
    name: str
    width: int
    hidden_width: int
    grid: Grid
    has_batch_norm: bool

    def weight_shapes(self) -> Shapes:
        """Canonical names and shapes of the weights."""
        layer = linear if self.has_batch_norm else linear_with_bias
        up = layer(f"{self.key}.linear_up", self.width, self.hidden_width)
        return up | layer(f"{self.key}.linear_down", self.hidden_width, self.width)

    def flops(self) -> int:
        """Multiply-adds for one image."""
        return 2 * self.width * self.hidden_width * prod(self.grid)


class HeadBlock(NamedTuple):
    """Classification head: a batch norm, unless there is none, and a linear layer on the mean of the tokens.

    Attributes:
        key, name: see the module.
        width: channels of a token.
        num_labels: number of classes.
        has_batch_norm: whether a batch norm precedes the linear layer.
    """

    key: str
    name: str
    width: int
    num_labels: int
    has_batch_norm: bool

    def weight_shapes(self) -> Shapes:
        """Canonical names and shapes of the weights."""
        norm = batch_norm(f"{self.key}.batch_norm", self.width) if self.has_batch_norm else {}
        return norm | linear_with_bias(self.key, self.width, self.num_labels)

    def flops(self) -> int:
        """Multiply-adds for one image."""
        return self.width * self.num_labels


EncoderBlock = AttentionBlock | MlpBlock
Block = StemLayer | EncoderBlock | HeadBlock
