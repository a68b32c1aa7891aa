"""Training with auto-encoders over the heads of queries and keys (ViTCoD, arXiv 2210.09573).

The auto-encoders are trained with the network, by its loss and by how well they reconstruct queries and keys. They are
linear, so that the saved network has them folded into its layers; a second file contains them for accelerators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from levit.checkpoints.dialects import BATCH_NORM_EPSILON, BIASES, FACEBOOK, MASK, OFFSETS, TRANSFORMERS
from levit.checkpoints.head_autoencoders import CANONICAL_NAMES, VITCOD_NAMES, fold_attention
from levit.checkpoints.key_translation import translate_keys
from levit.errors import ConfigError
from levit.files import replacing
from levit.model.attention import Attention, BiasedAttention
from levit.model.head_autoencoder import HeadAutoencoder
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher

VITCOD_FILE = "vitcod.pth"
RECONSTRUCTION_WEIGHT = 1e-4  # of the sum of all reconstruction losses, in the training loss; that of ViTCoD


def add_head_autoencoders(network: LevitForImageClassification | LevitForImageClassificationWithTeacher) -> None:
    """Add an auto-encoder of queries and one of keys to each attention inside a stage.

    They start with the principal directions of the layers that compute queries and keys.

    Args:
        network: the network, whose other weights are not changed.

    Raises:
        ConfigError: it is another network than that of the paper, which ViTCoD's files cannot contain.
    """
    if not network.config.architecture().has_layers_of_paper:
        hint = "leave out `head_autoencoders`"
        raise ConfigError("is for the network of the paper only", source="head_autoencoders", hint=hint)
    for _, attention in _attentions(network):
        queries, keys = _head_weights(attention)
        attention.query_autoencoder = HeadAutoencoder(attention.num_heads)
        attention.key_autoencoder = HeadAutoencoder(attention.num_heads)
        attention.query_autoencoder.initialize(queries)
        attention.key_autoencoder.initialize(keys)


def find_head_autoencoders(network: nn.Module) -> tuple[HeadAutoencoder, ...]:
    """All auto-encoders over heads of a network; none in a network without them."""
    return tuple(module for module in network.modules() if isinstance(module, HeadAutoencoder))


def fold_head_autoencoders(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the auto-encoders of a network into its layers of queries and keys.

    Args:
        weights: state dict of a network, with auto-encoders or without.

    Returns:
        State dict of the network without auto-encoders that computes the same in evaluation mode.
    """
    suffix = f".{CANONICAL_NAMES.encoder_weight('q')}"
    prefixes = [name.removesuffix(suffix) for name in weights if name.endswith(suffix)]
    folded = {name: tensor for name, tensor in weights.items() if "_autoencoder." not in name}
    for prefix in prefixes:
        arrays = {name: weights[name].cpu().numpy() for name in weights if name.startswith(f"{prefix}.")}
        for name, array in fold_attention(arrays, f"{prefix}.", CANONICAL_NAMES).items():
            folded[name] = torch.from_numpy(array)
    return folded


def write_vitcod_checkpoint(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Write the network with its auto-encoders as ViTCoD does, which `levit.read_checkpoint` reads, too.

    Args:
        path: file to write or to replace.
        network: the network, for its offset tables.
        weights: its state dict.
    """
    keys = translate_keys(weights, TRANSFORMERS, FACEBOOK)
    tensors = {key: weights[name] for name, key in keys.items() if not name.endswith(f".{MASK}")}
    for name, module in network.named_modules():
        if isinstance(module, BiasedAttention):
            prefix = keys[f"{name}.{BIASES}"].removesuffix(BIASES)
            tensors[prefix + OFFSETS] = module.attention_bias_idxs
            for (_, ours), (_, theirs) in zip(CANONICAL_NAMES.autoencoders(), VITCOD_NAMES.autoencoders(), strict=True):
                if f"{name}.{ours}" in weights:
                    tensors[prefix + theirs] = weights[f"{name}.{ours}"]
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        torch.save({"model": plain}, partial)


def _attentions(network: nn.Module) -> Iterator[tuple[str, Attention]]:
    return ((name, module) for name, module in network.named_modules() if isinstance(module, Attention))


@torch.no_grad()
def _head_weights(attention: Attention) -> tuple[Tensor, Tensor]:
    """Weights and biases, after the batch norm, of the queries and of the keys of each head, [H, values]."""
    layer = attention.queries_keys_values
    weight = layer.linear.weight
    if (norm := layer.batch_norm) is not None and norm.running_mean is not None and norm.running_var is not None:
        scale = norm.weight / torch.sqrt(norm.running_var + BATCH_NORM_EPSILON)
        bias = norm.bias - norm.running_mean * scale
        weight = torch.cat([weight * scale[:, None], bias[:, None]], dim=1)
    rows = weight.unflatten(0, (attention.num_heads, -1))
    width = attention.key_dim
    return rows[:, :width].flatten(1), rows[:, width : 2 * width].flatten(1)
