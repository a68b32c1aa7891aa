import copy
import pickle

import pytest
import torch

import levit
from levit.model.layers import Residual
from tests.model.networks import small_config

OPTIONS = [None, {"use_reentrant": False}, {"use_reentrant": True}]


def enable(model, options):
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(options)
    else:  # before transformers 5.23
        model.gradient_checkpointing_enable(options)


def train_step(model, images, labels):
    torch.manual_seed(1)
    output = model(images, labels=labels)
    output.loss.backward()
    return output


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("drop_path_rate", [pytest.param(0, marks=pytest.mark.slow), 0.3])
@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_a_training_step_equals_that_without_checkpointing(options, drop_path_rate, batch):
    """Loss, gradients, and the statistics of batch norm, which recomputation would update twice."""
    torch.manual_seed(0)
    plain = levit.LevitForImageClassificationWithTeacher(small_config(drop_path_rate=drop_path_rate)).train()
    checkpointed = copy.deepcopy(plain)
    enable(checkpointed, options)
    images, labels = torch.randn(batch, 3, 64, 64), torch.arange(batch) % 2
    expected, actual = train_step(plain, images, labels), train_step(checkpointed, images, labels)
    assert torch.equal(actual.loss, expected.loss)
    for (name, expected), actual in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, msg=name)
    for (name, expected), actual in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(actual, expected), name


def test_checkpointed_blocks_run_twice():
    model = levit.LevitForImageClassification(small_config()).train()
    enable(model, None)
    runs = []
    block = next(module for module in model.modules() if isinstance(module, Residual))
    block.module.register_forward_pre_hook(lambda *_: runs.append(1))
    train_step(model, torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
    assert len(runs) == 2


def test_a_failed_recomputation_restores_batch_norm():
    model = levit.LevitForImageClassification(small_config()).train()
    enable(model, {"use_reentrant": False})
    block = next(module for module in model.modules() if isinstance(module, Residual))
    norm = block.module.projection.batch_norm
    loss = model(torch.randn(2, 3, 64, 64), labels=torch.tensor([0, 1])).loss
    block.module.projection.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loss.backward()
    assert norm.momentum == 0.1
    assert norm.num_batches_tracked == 1


def test_a_copy_checkpoints_its_own_blocks():
    model = levit.LevitForImageClassification(small_config()).train()
    enable(model, None)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        train_step(copied, torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
        counts = [module.num_batches_tracked for module in copied.modules() if hasattr(module, "num_batches_tracked")]
        assert all(count == 1 for count in counts)


def test_attentions_and_evaluation_equal_those_without_checkpointing():
    plain = levit.LevitForImageClassification(small_config()).train()
    model, images = copy.deepcopy(plain), torch.randn(2, 3, 64, 64)
    enable(model, None)
    expected, actual = (network(images, output_attentions=True).attentions for network in (plain, model))
    assert all(map(torch.equal, actual, expected))
    assert len(actual) == len(expected)
    assert torch.equal(model.eval()(images).logits, plain.eval()(images).logits)
