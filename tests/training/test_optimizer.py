"""Frozen parameters, parameter groups and gradient clipping."""

from itertools import pairwise

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from timm.utils.agc import adaptive_clip_grad
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import levit
from levit.errors import ConfigError
from levit.training.optimizer import (
    build_optimizer,
    clip_gradients,
    freeze_parameters,
    is_head,
    set_train_mode,
)
from levit.training.option_groups import ModelOptions, OptimizerOptions
from tests.training.tiny import TIMM_NETWORK, config


@pytest.fixture
def network():
    return levit.LevitForImageClassificationWithTeacher(config(depths=[1, 2, 1]))


@pytest.fixture
def timm_network():
    return timm.create_model(TIMM_NETWORK.removeprefix("timm/"), num_classes=3)


@pytest.fixture
def swin():
    return timm.models.SwinTransformer(
        img_size=32, patch_size=4, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4, num_classes=3
    )


@pytest.fixture
def vit():
    return timm.create_model("test_vit", num_classes=3)


def optimizer_of(network, *, lr=5e-4, **values):
    return build_optimizer(network, OptimizerOptions(**values), lr=lr)


def freeze(network, name):
    freeze_parameters(network, ModelOptions(freeze=name))


def groups_by_parameter(optimizer, network):
    """The group of each optimized parameter, by its name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(parameter)]: group for group in optimizer.param_groups for parameter in group["params"]}


def count_parameters(optimizer):
    return sum(len(group["params"]) for group in optimizer.param_groups)


def batch_norms(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
@pytest.mark.parametrize("frozen", ["nothing", "stem", "backbone"])
def test_every_trained_parameter_is_in_one_group(network, layer_decay, frozen):
    freeze(network, frozen)
    optimizer = optimizer_of(network, layer_decay=layer_decay)
    groups = groups_by_parameter(optimizer, network)
    assert set(groups) == {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert count_parameters(optimizer) == len(groups)


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
def test_biases_norms_and_attention_biases_have_no_weight_decay(network, layer_decay):
    optimizer = optimizer_of(network, layer_decay=layer_decay, weight_decay=0.3)
    of_norms = {f"{module}.{name}" for module in batch_norms(network) for name in ("weight", "bias")}
    for name, group in groups_by_parameter(optimizer, network).items():
        is_exempt = name in of_norms or name.endswith((".bias", "attention_biases"))
        assert group["weight_decay"] == (0 if is_exempt else 0.3), name


def test_without_layer_decay_all_learning_rates_are_equal(network):
    optimizer = optimizer_of(network, lr=0.01)
    assert len(optimizer.param_groups) == 2
    assert {group["lr_scale"] for group in optimizer.param_groups} == {1.0}
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}


def test_with_layer_decay_each_block_has_a_lower_learning_rate_than_the_next(network):
    groups = groups_by_parameter(optimizer_of(network, layer_decay=0.5), network)
    assert all(group["lr_scale"] == 1 for name, group in groups.items() if is_head(name))
    stem = {group["lr_scale"] for name, group in groups.items() if "patch_embeddings" in name}
    assert stem == {min(group["lr_scale"] for group in groups.values())}
    scales = [group["lr_scale"] for name, group in groups.items() if not is_head(name)]  # in the order of the network
    assert scales == sorted(scales)
    distinct = sorted(set(scales) | {1.0})
    assert all(larger == 2 * smaller for smaller, larger in pairwise(distinct))
    attentions = [name for name in groups if name.endswith("attention_biases")]
    assert len(distinct) == len(attentions) + 2  # stem and heads


def test_an_attention_and_the_mlp_behind_it_have_the_same_learning_rate(network):
    groups = groups_by_parameter(optimizer_of(network, layer_decay=0.5), network)
    prefix = "levit.encoder.stages.1.layers."
    scales = []
    for index in range(4):
        (scale,) = {group["lr_scale"] for name, group in groups.items() if name.startswith(f"{prefix}{index}.")}
        scales.append(scale)
    assert scales[0] == scales[1] < scales[2] == scales[3]


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize(
    ("kind", "without_decay"),
    [("timm_network", None), ("vit", "pos_embed"), ("swin", "layers.0.blocks.0.attn.relative_position_bias_table")],
)
def test_the_groups_of_a_timm_network_are_those_of_timm(request, kind, without_decay, layer_decay):
    network = request.getfixturevalue(kind)
    optimizer = optimizer_of(network, layer_decay=layer_decay, weight_decay=0.3)
    groups = groups_by_parameter(optimizer, network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    expected = {
        names[id(parameter)]: (group["weight_decay"], group["lr_scale"])
        for group in param_groups_layer_decay(
            network, 0.3, getattr(network, "no_weight_decay", set)(), layer_decay=layer_decay
        )
        for parameter in group["params"]
    }
    assert {name: (group["weight_decay"], group["lr_scale"]) for name, group in groups.items()} == expected
    assert count_parameters(optimizer) == len(groups) == len(names)
    assert {weight_decay for weight_decay, _ in expected.values()} == {0.0, 0.3}
    assert without_decay is None or groups[without_decay]["weight_decay"] == 0
    scales = [group["lr_scale"] for group in groups.values()]
    assert max(scales) == 1
    assert (min(scales) < 1) == (layer_decay < 1)


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
@pytest.mark.parametrize("kind", ["network", "timm_network", "swin", "vit"])
def test_muon_updates_the_matrices_inside_the_network_and_nadamw_the_other_parameters(request, kind, layer_decay):
    network = request.getfixturevalue(kind)
    values = {"layer_decay": layer_decay, "weight_decay": 0.3}
    optimizer = optimizer_of(network, optimizer="muon", **values)
    adamw_groups = groups_by_parameter(optimizer_of(network, **values), network)
    groups = groups_by_parameter(optimizer, network)
    assert set(groups) == {name for name, _ in network.named_parameters()}
    assert count_parameters(optimizer) == len(groups)
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim > 1 and not is_head(name) and not name.endswith("attention_biases")
        is_matrix &= name not in getattr(network, "no_weight_decay", set)()
        assert groups[name]["use_fallback"] == (not is_matrix), name
        assert groups[name]["weight_decay"] == adamw_groups[name]["weight_decay"], name
        assert groups[name]["lr_scale"] == adamw_groups[name]["lr_scale"], name


def test_an_update_of_muon_is_orthogonal_and_has_the_size_of_one_of_adamw(network):
    optimizer = optimizer_of(network, optimizer="muon", lr=0.1, weight_decay=0.0)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    name = "levit.encoder.stages.0.layers.1.module.linear_up.linear.weight"
    update = (before[name] - dict(network.named_parameters())[name]).detach()
    singular_values = torch.linalg.svdvals(update)
    assert singular_values.max() < 1.6 * singular_values.min()
    assert update.square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)  # 0.2 is usual for updates of AdamW


def test_a_frozen_backbone_leaves_only_the_heads_to_train(network):
    freeze(network, "backbone")
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == name.startswith("classifier")


def test_a_frozen_stem_leaves_everything_else_to_train(network):
    freeze(network, "stem")
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (not name.startswith("levit.patch_embeddings"))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_byobnet", "test_convnext"])
def test_stem_and_head_of_timm_networks_are_recognized(name):
    network = timm.create_model(name, num_classes=3)
    freeze(network, "stem")
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    first = next(name for name, parameter in network.named_parameters() if parameter.ndim == 4)
    assert first in frozen
    assert len(frozen) < 20
    freeze(network, "backbone")
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in network.get_classifier().parameters()} <= set(map(id, trained))
    assert len(trained) <= 6


@pytest.mark.parametrize("kind", ["stem", "backbone"])
def test_a_network_with_unknown_parameter_names_cannot_be_frozen(kind):
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    with pytest.raises(ConfigError, match=rf"^freeze is '{kind}', .*: set `freeze` to nothing$"):
        freeze(network, kind)


@pytest.mark.parametrize(
    ("frozen", "freeze_batch_norm", "expected"),
    [
        ("nothing", False, lambda name: True),
        ("nothing", True, lambda name: False),
        ("stem", False, lambda name: "patch_embeddings" not in name),
        ("backbone", False, lambda name: name.startswith("classifier")),
    ],
)
def test_batch_norms_of_trained_parameters_are_in_train_mode(network, frozen, freeze_batch_norm, expected):
    freeze(network, frozen)
    set_train_mode(network.eval(), freeze_batch_norm=freeze_batch_norm)
    assert network.training
    for name, module in batch_norms(network).items():
        assert module.training == expected(name), name


def test_a_frozen_stem_does_not_change(network):
    freeze(network, "stem")
    set_train_mode(network, freeze_batch_norm=False)
    optimizer = optimizer_of(network, lr=0.1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(4, 3, 32, 32)).logits.square().sum().backward()
    optimizer.step()
    for name, tensor in network.state_dict().items():
        if "patch_embeddings" in name:
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(network.state_dict()["classifier.linear.weight"], before["classifier.linear.weight"])


def set_gradients(network):
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 10
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("kind", ["network", "timm_network"])
def test_clipping_is_that_of_timm_for_all_parameters_but_the_heads(request, kind):
    network = request.getfixturevalue(kind)
    before = set_gradients(network)
    clip_gradients(network, 0.01)
    clipped = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    set_gradients(network)
    adaptive_clip_grad(network.parameters(), clip_factor=0.01)
    heads = {name for name in clipped if is_head(name)}
    assert heads
    for name, parameter in network.named_parameters():
        assert torch.equal(clipped[name], before[name] if name in heads else parameter.grad), name
    assert any(not torch.equal(clipped[name], before[name]) for name in clipped)


def test_a_clip_factor_of_zero_disables_clipping(network):
    before = set_gradients(network)
    clip_gradients(network, 0.0)
    assert all(torch.equal(parameter.grad, before[name]) for name, parameter in network.named_parameters())


def test_frozen_parameters_are_not_clipped(network):
    freeze(network, "stem")
    set_train_mode(network, freeze_batch_norm=False)
    network(torch.randn(4, 3, 32, 32)).logits.square().sum().backward()
    clip_gradients(network, 0.01)
    assert all(parameter.grad is None for parameter in network.levit.patch_embeddings.parameters())
