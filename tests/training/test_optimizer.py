"""Which weights learn, how fast, and what holds them back."""

from itertools import pairwise
from math import cos, pi

import pytest
import timm
import torch
from timm.utils.agc import adaptive_clip_grad
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import levit
from levit.errors import ConfigError
from levit.training.optimizer import build_optimizer, build_schedule, clip_gradients, freeze, is_head, set_train_mode
from tests.training.tiny import TIMM_NETWORK, config


@pytest.fixture
def network():
    return levit.LevitForImageClassificationWithTeacher(config(depths=[1, 2, 1]))


@pytest.fixture
def timm_network():
    return timm.create_model(TIMM_NETWORK.removeprefix("timm/"), num_classes=3)


def group_of(optimizer, network):
    """The group of each parameter that learns, by name."""
    names = {id(one): name for name, one in network.named_parameters()}
    return {names[id(one)]: group for group in optimizer.param_groups for one in group["params"]}


def count(optimizer):
    return sum(len(group["params"]) for group in optimizer.param_groups)


def norms(network):
    return {name: one for name, one in network.named_modules() if isinstance(one, _BatchNorm)}


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
@pytest.mark.parametrize("kind", ["nothing", "stem", "backbone"])
def test_every_parameter_that_learns_is_there_once(options, network, layer_decay, kind):
    chosen = options(layer_decay=layer_decay, freeze=kind)
    freeze(network, chosen)
    optimizer = build_optimizer(network, chosen)
    found = group_of(optimizer, network)
    assert set(found) == {name for name, one in network.named_parameters() if one.requires_grad}
    assert count(optimizer) == len(found)


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
def test_biases_norms_and_attention_biases_do_not_decay(options, network, layer_decay):
    chosen = options(layer_decay=layer_decay, weight_decay=0.3)
    of_norms = {f"{module}.{name}" for module in norms(network) for name in ("weight", "bias")}
    for name, group in group_of(build_optimizer(network, chosen), network).items():
        is_free = name in of_norms or name.endswith((".bias", "attention_biases"))
        assert group["weight_decay"] == (0 if is_free else 0.3), name


def test_without_layer_decay_everything_learns_as_fast(options, network):
    optimizer = build_optimizer(network, options(lr=0.01))
    assert len(optimizer.param_groups) == 2
    assert {group["lr_scale"] for group in optimizer.param_groups} == {1.0}
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}


def test_with_layer_decay_each_block_learns_slower_than_the_next(options, network):
    found = group_of(build_optimizer(network, options(layer_decay=0.5)), network)
    assert all(group["lr_scale"] == 1 for name, group in found.items() if is_head(name))
    stem = {group["lr_scale"] for name, group in found.items() if "patch_embeddings" in name}
    assert stem == {min(group["lr_scale"] for group in found.values())}
    scales = [group["lr_scale"] for name, group in found.items() if not is_head(name)]  # in the network's order
    assert scales == sorted(scales)
    steps = sorted(set(scales) | {1.0})
    assert all(larger == 2 * smaller for smaller, larger in pairwise(steps))
    attentions = [name for name in found if name.endswith("attention_biases")]
    assert len(steps) == len(attentions) + 2  # stem and heads


def test_an_attention_learns_as_fast_as_the_mlp_behind_it(options, network):
    found = group_of(build_optimizer(network, options(layer_decay=0.5)), network)
    place = "levit.encoder.stages.1.layers."
    scales = [{group["lr_scale"] for name, group in found.items() if name.startswith(f"{place}{i}.")} for i in range(4)]
    assert scales[0] == scales[1]
    assert scales[2] == scales[3]
    assert scales[0] < scales[2] or max(scales[0]) < min(scales[2])


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_a_network_of_timm_is_grouped_by_timm(options, timm_network, layer_decay):
    optimizer = build_optimizer(timm_network, options(layer_decay=layer_decay, weight_decay=0.3))
    found = group_of(optimizer, timm_network)
    assert set(found) == {name for name, _ in timm_network.named_parameters()}
    assert count(optimizer) == len(found)
    for name, one in timm_network.named_parameters():
        assert found[name]["weight_decay"] == (0.3 if one.ndim > 1 else 0)
    scales = [found[name]["lr_scale"] for name in found]
    assert max(scales) == found["fc.weight"]["lr_scale"] == 1
    assert found["conv1.0.weight"]["lr_scale"] == min(scales)
    assert (min(scales) < 1) == (layer_decay < 1)


@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
@pytest.mark.parametrize("kind", ["network", "timm_network"])
def test_muon_learns_the_matrices_inside_and_leaves_the_rest_to_adam(options, request, kind, layer_decay):
    network = request.getfixturevalue(kind)
    chosen = options(optimizer="muon", layer_decay=layer_decay, weight_decay=0.3)
    optimizer = build_optimizer(network, chosen)
    adam = group_of(build_optimizer(network, options(layer_decay=layer_decay, weight_decay=0.3)), network)
    found = group_of(optimizer, network)
    assert set(found) == {name for name, _ in network.named_parameters()}
    assert count(optimizer) == len(found)
    for name, one in network.named_parameters():
        is_matrix = one.ndim > 1 and not is_head(name) and not name.endswith("attention_biases")
        assert found[name]["use_fallback"] == (not is_matrix), name
        assert found[name]["weight_decay"] == adam[name]["weight_decay"], name
        assert found[name]["lr_scale"] == adam[name]["lr_scale"], name


def test_a_step_of_muon_is_orthogonal_and_as_large_as_one_of_adam(options, network):
    optimizer = build_optimizer(network, options(optimizer="muon", lr=0.1, weight_decay=0.0))
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    for one in network.parameters():
        one.grad = torch.randn_like(one)
    optimizer.step()
    name = "levit.encoder.stages.0.layers.1.module.linear_up.linear.weight"
    step = (before[name] - dict(network.named_parameters())[name]).detach()
    singular = torch.linalg.svdvals(step)
    assert singular.max() < 1.6 * singular.min()
    assert step.square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)  # 0.2 is usual of AdamW's updates


def test_nothing_but_the_heads_learns_with_a_frozen_backbone(options, network):
    freeze(network, options(freeze="backbone"))
    for name, one in network.named_parameters():
        assert one.requires_grad == name.startswith("classifier")


def test_the_stem_alone_is_frozen(options, network):
    freeze(network, options(freeze="stem"))
    for name, one in network.named_parameters():
        assert one.requires_grad == (not name.startswith("levit.patch_embeddings"))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "test_byobnet", "test_convnext"])
def test_every_network_of_timm_has_a_stem_and_a_head(options, name):
    network = timm.create_model(name, num_classes=3)
    freeze(network, options(freeze="stem"))
    frozen = {one for one, parameter in network.named_parameters() if not parameter.requires_grad}
    first = next(name for name, one in network.named_parameters() if one.ndim == 4)
    assert first in frozen
    assert len(frozen) < 20
    freeze(network, options(freeze="backbone"))
    learning = [one for one in network.parameters() if one.requires_grad]
    assert {id(one) for one in network.get_classifier().parameters()} <= {id(one) for one in learning}
    assert len(learning) <= 6


@pytest.mark.parametrize("kind", ["stem", "backbone"])
def test_a_network_whose_parts_have_other_names_cannot_be_frozen(options, kind):
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    with pytest.raises(ConfigError, match=rf"^--freeze {kind}: .*--freeze nothing"):
        freeze(network, options(freeze=kind))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, lambda name: True),
        ({"freeze_batch_norm": True}, lambda name: False),
        ({"freeze": "stem"}, lambda name: "patch_embeddings" not in name),
        ({"freeze": "backbone"}, lambda name: name.startswith("classifier")),
    ],
)
def test_a_batch_norm_learns_statistics_where_its_weights_learn(options, network, values, expected):
    chosen = options(**values)
    freeze(network, chosen)
    set_train_mode(network.eval(), chosen)
    assert network.training
    for name, module in norms(network).items():
        assert module.training == expected(name), name


def test_what_is_frozen_does_not_change(options, network):
    chosen = options(freeze="stem", lr=0.1)
    freeze(network, chosen)
    set_train_mode(network, chosen)
    optimizer = build_optimizer(network, chosen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(4, 3, 32, 32)).logits.square().sum().backward()
    optimizer.step()
    for name, tensor in network.state_dict().items():
        if "patch_embeddings" in name:
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(network.state_dict()["classifier.linear.weight"], before["classifier.linear.weight"])


def rates(optimizer, options, steps, epochs):
    schedule = build_schedule(optimizer, options, steps)
    found = []
    for step in range(epochs * steps):
        schedule.step_update(step)
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_the_learning_rate_warms_up_and_is_a_cosine(options, network, layer_decay):
    chosen = options(
        epochs=10, cooldown_epochs=2, warmup_epochs=2.0, lr=0.1, min_lr=0.001, warmup_lr=1e-4, layer_decay=layer_decay
    )
    optimizer = build_optimizer(network, chosen)
    found = rates(optimizer, chosen, steps=7, epochs=12)
    scales = [group["lr_scale"] for group in optimizer.param_groups]
    for step, of_groups in enumerate(found):
        if step < 14:
            expected = 1e-4 + (0.1 - 1e-4) * step / 14
        elif step < 70:
            expected = 0.001 + (0.1 - 0.001) * (1 + cos(pi * step / 70)) / 2
        else:
            expected = 0.001
        assert of_groups == pytest.approx([expected * scale for scale in scales], rel=1e-9), step


def test_the_learning_rate_of_a_step_is_a_function_of_its_number(options, network):
    chosen = options(epochs=3)
    whole = rates(build_optimizer(network, chosen), chosen, steps=5, epochs=3)
    optimizer = build_optimizer(network, chosen)
    build_schedule(optimizer, chosen, 5).step_update(11)
    assert [group["lr"] for group in optimizer.param_groups] == whole[11]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_run_has_a_learning_rate_in_every_step(options, network, steps):
    chosen = options(epochs=1, lr=0.1)
    found = rates(build_optimizer(network, chosen), chosen, steps=steps, epochs=1)
    assert all(0 < rate <= 0.1 for of_groups in found for rate in of_groups)
    assert max(max(of_groups) for of_groups in found) > 0.05


def test_a_warm_up_may_be_most_of_a_run(options, network):
    chosen = options(epochs=4, warmup_epochs=3.0, lr=0.1, warmup_lr=0.0)
    found = rates(build_optimizer(network, chosen), chosen, steps=2, epochs=4)
    assert [one[0] for one in found[:6]] == pytest.approx([0.1 * step / 6 for step in range(6)])


def test_a_warm_up_starts_no_higher_than_it_ends(options, network):
    chosen = options(lr=1e-7, min_lr=0.0, epochs=4, warmup_epochs=2.0)
    assert rates(build_optimizer(network, chosen), chosen, steps=2, epochs=1)[0][0] == pytest.approx(1e-7)


def with_gradients(network):
    generator = torch.Generator().manual_seed(0)
    for one in network.parameters():
        one.grad = torch.randn(one.shape, generator=generator) * 10
    return {name: one.grad.clone() for name, one in network.named_parameters()}


@pytest.mark.parametrize("kind", ["network", "timm_network"])
def test_clipping_is_timms_on_the_body_and_leaves_the_heads(options, request, kind):
    network = request.getfixturevalue(kind)
    before = with_gradients(network)
    clip_gradients(network, options(clip=0.01))
    found = {name: one.grad.clone() for name, one in network.named_parameters()}
    with_gradients(network)
    adaptive_clip_grad(network.parameters(), clip_factor=0.01)
    heads = {name for name in found if is_head(name)}
    assert heads
    for name, one in network.named_parameters():
        assert torch.equal(found[name], before[name] if name in heads else one.grad), name
    assert any(not torch.equal(found[name], before[name]) for name in found)


def test_no_clipping_changes_nothing(options, network):
    before = with_gradients(network)
    clip_gradients(network, options())
    assert all(torch.equal(one.grad, before[name]) for name, one in network.named_parameters())


def test_what_does_not_learn_has_nothing_to_clip(options, network):
    chosen = options(freeze="stem", clip=0.01)
    freeze(network, chosen)
    set_train_mode(network, chosen)
    network(torch.randn(4, 3, 32, 32)).logits.square().sum().backward()
    clip_gradients(network, chosen)
    assert all(one.grad is None for one in network.levit.patch_embeddings.parameters())
