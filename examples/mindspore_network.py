"""LeViT in MindSpore, from a checkpoint of transformers; it needs mindspore alone, neither levit nor torch.

levit convert facebook/levit-128S levit-128s/ --to transformers
python examples/mindspore_network.py levit-128s/ images.npy logits.npy
"""

import argparse
import json
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from safetensors.numpy import load_file

NAMES = {
    "batch_norm.weight": "batch_norm.gamma",
    "batch_norm.bias": "batch_norm.beta",
    "batch_norm.running_mean": "batch_norm.moving_mean",
    "batch_norm.running_var": "batch_norm.moving_variance",
}  # canonical names of the weights -> names of MindSpore


class ConvolutionBatchNorm(nn.Cell):
    """Convolution of the stem."""

    def __init__(self, inputs, outputs, kernel, stride, padding):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, pad_mode="pad", padding=padding, has_bias=False)
        self.batch_norm = nn.BatchNorm2d(outputs)

    def construct(self, x):
        """[batch, inputs, height, width] -> [batch, outputs, height / stride, width / stride]."""
        return self.batch_norm(self.convolution(x))


class LinearBatchNorm(nn.Cell):
    """Linear layer over tokens."""

    def __init__(self, inputs, outputs, gamma="ones"):
        super().__init__()
        self.linear = nn.Dense(inputs, outputs, has_bias=False)
        self.batch_norm = nn.BatchNorm1d(outputs, gamma_init=gamma)

    def construct(self, x):
        """[batch, tokens, inputs] -> [batch, tokens, outputs]."""
        y = self.linear(x)
        return self.batch_norm(y.reshape(-1, y.shape[-1])).reshape(y.shape)


class Mlp(nn.Cell):
    """MLP; the last batch norm of a residual branch is initialized to zero."""

    def __init__(self, width, hidden):
        super().__init__()
        self.linear_up = LinearBatchNorm(width, hidden)
        self.linear_down = LinearBatchNorm(hidden, width, gamma="zeros")

    def construct(self, x):
        """[batch, tokens, width] -> [batch, tokens, width]."""
        return self.linear_down(ops.hardswish(self.linear_up(x)))


class Attention(nn.Cell):
    """Attention inside a stage (stride 1), or the subsampling attention between two stages."""

    def __init__(self, grid, inputs, outputs, heads, key_dim, ratio, stride):
        super().__init__()
        self.heads, self.key_dim, self.value_dim, self.stride = heads, key_dim, int(key_dim * ratio), stride
        keys, values = heads * key_dim, heads * self.value_dim
        if stride == 1:
            self.queries_keys_values = LinearBatchNorm(inputs, 2 * keys + values)
        else:
            self.keys_values = LinearBatchNorm(inputs, keys + values)
            self.queries = LinearBatchNorm(inputs, keys)
        self.projection = LinearBatchNorm(values, outputs, gamma="zeros" if stride == 1 else "ones")
        rows, columns = np.indices((grid, grid)).reshape(2, -1)
        sampled = (rows % stride == 0) & (columns % stride == 0)
        self.sampled = Tensor(np.flatnonzero(sampled), mindspore.int32)  # tokens that are queries
        distances = [np.abs(axis[sampled][:, None] - axis) for axis in (rows, columns)]
        self.offsets = Tensor(distances[0] * grid + distances[1], mindspore.int32)  # [queries, keys]
        self.attention_biases = Parameter(Tensor(np.zeros((heads, grid * grid), np.float32)))

    def construct(self, x):
        """[batch, tokens, inputs] -> [batch, queries, outputs]."""
        sizes = [self.key_dim, self.key_dim, self.value_dim]
        if self.stride == 1:
            query, key, value = ops.split(self.split_heads(self.queries_keys_values(x)), sizes, axis=-1)
        else:
            key, value = ops.split(self.split_heads(self.keys_values(x)), sizes[1:], axis=-1)
            query = self.split_heads(self.queries(ops.gather(x, self.sampled, 1)))
        # The biases are gathered in each call, so that those of a checkpoint have an effect, and a gradient.
        biases = ops.gather(self.attention_biases, self.offsets, 1)
        scores = ops.matmul(query, key.swapaxes(-1, -2)) * self.key_dim**-0.5 + biases
        context = ops.matmul(ops.softmax(scores, axis=-1), value).swapaxes(1, 2)
        return self.projection(ops.hardswish(context.reshape(x.shape[0], context.shape[1], -1)))

    def split_heads(self, x):
        """[batch, tokens, channels] -> [batch, heads, tokens, channels of a head]."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).swapaxes(1, 2)


class Residual(nn.Cell):
    """Branch with a shortcut."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def construct(self, x):
        """[batch, tokens, width] -> [batch, tokens, width]."""
        return x + self.module(x)


class Head(nn.Cell):
    """Classifier of pooled features."""

    def __init__(self, width, classes):
        super().__init__()
        self.batch_norm = nn.BatchNorm1d(width)
        self.linear = nn.Dense(width, classes)

    def construct(self, x):
        """[batch, width] -> [batch, classes]."""
        return self.linear(self.batch_norm(x))


class LeViT(nn.Cell):
    """LeViT with one head or two, for square images; `config` is the content of config.json."""

    def __init__(self, config, num_heads):
        super().__init__()
        stem, grid = build_stem(config)
        self.levit = group(patch_embeddings=stem, encoder=group(stages=build_stages(config, grid)))
        self.num_layers = len(list(stem.cells()))
        classes, width = len(config["id2label"]), config["hidden_sizes"][-1]
        self.classifier = Head(width, classes)
        self.classifier_distill = Head(width, classes) if num_heads == 2 else None

    def construct(self, x):
        """Normalized images [batch, channels, size, size] -> logits [batch, classes]; a tuple of two in training."""
        for number in range(1, self.num_layers + 1):
            x = getattr(self.levit.patch_embeddings, f"embedding_layer_{number}")(x)
            x = ops.hardswish(x) if number < self.num_layers else x
        x = x.reshape(x.shape[0], x.shape[1], -1).swapaxes(1, 2)
        for stage in self.levit.encoder.stages:
            for layer in stage.layers:
                x = layer(x)
        pooled = x.mean(axis=1)
        if self.classifier_distill is None:
            return self.classifier(pooled)
        logits, distilled = self.classifier(pooled), self.classifier_distill(pooled)
        return (logits, distilled) if self.training else (logits + distilled) / 2


def group(**cells):
    """Cell that only holds others, so that parameters have their canonical names; from the innermost outwards."""
    cell = nn.Cell()
    for name, child in cells.items():
        setattr(cell, name, child)
    return cell


def build_stem(config):
    """The convolutions, and the rows of tokens after them."""
    kernel, stride, padding, size = (config[name] for name in ("kernel_size", "stride", "padding", "image_size"))
    count = round(np.log(config["patch_size"]) / np.log(stride))
    widths = [config["num_channels"], *(config["hidden_sizes"][0] >> shift for shift in reversed(range(count)))]
    layers = {}
    for number in range(1, count + 1):
        layer = ConvolutionBatchNorm(widths[number - 1], widths[number], kernel, stride, padding)
        layers[f"embedding_layer_{number}"] = layer
        size = (size + 2 * padding - kernel) // stride + 1
    return group(**layers), size


def build_stages(config, grid):
    """All stages, each with the blocks that lead to the next."""
    stages, widths = nn.CellList(), config["hidden_sizes"]
    for index, width in enumerate(widths):
        heads, key_dim, depth = (config[name][index] for name in ("num_attention_heads", "key_dim", "depths"))
        mlp_ratio, ratio = config["mlp_ratio"][index], config["attention_ratio"][index]
        layers = nn.CellList()
        for _ in range(depth):
            layers.append(Residual(Attention(grid, width, width, heads, key_dim, ratio, 1)))
            if mlp_ratio:
                layers.append(Residual(Mlp(width, int(width * mlp_ratio))))
        if index + 1 < len(widths):
            _, key_dim, heads, ratio, mlp_ratio, stride = config["down_ops"][index]
            layers.append(Attention(grid, width, widths[index + 1], heads, key_dim, ratio, stride))
            grid = (grid - 1) // stride + 1
            if mlp_ratio:
                layers.append(Residual(Mlp(widths[index + 1], int(widths[index + 1] * mlp_ratio))))
        stages.append(group(layers=layers))
    return stages


def load(folder):
    """Build the network of a checkpoint of transformers, with its weights, for evaluation."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    weights = {}
    for name, array in load_file(Path(folder) / "model.safetensors").items():
        layer = ".".join(name.split(".")[-2:])
        name = name.removesuffix(layer) + NAMES.get(layer, layer)
        if not name.endswith("num_batches_tracked"):  # MindSpore does not count them
            weights[name] = Parameter(Tensor(array.astype(np.float32)), name=name)
    network = LeViT(config, num_heads=2 if "classifier_distill.linear.weight" in weights else 1)
    missing, unused = mindspore.load_param_into_net(network, weights)
    if missing or unused or config.get("activation", "hardswish") != "hardswish":
        raise SystemExit(f"{folder} is not the network of the paper: {[*missing, *unused][:3]}")
    return network.set_train(False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder with config.json and model.safetensors")
    parser.add_argument("images", help=".npy, normalized images, float32 [batch, channels, size, size]")
    parser.add_argument("logits", help=".npy to write, float32 [batch, classes]")
    arguments = parser.parse_args()
    images = np.load(arguments.images)
    np.save(arguments.logits, load(arguments.checkpoint)(Tensor(images)).asnumpy())
