from inspect import signature

import pytest
import torch
import transformers

import levit
from levit import LevitForImageClassification, LevitForImageClassificationWithTeacher
from tests.conftest import GOLDEN
from tests.model.networks import small_config

CLASSES = (LevitForImageClassification, LevitForImageClassificationWithTeacher)


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_tuple_contains_the_fields_of_the_output(model_class):
    model = model_class(small_config(num_labels=3)).eval()
    inputs = {"pixel_values": torch.randn(2, 3, 64, 64), "labels": torch.tensor([0, 2])}
    output = model(**inputs, output_hidden_states=True)
    plain = model(**inputs, output_hidden_states=True, return_dict=False)
    assert isinstance(plain, tuple)
    assert list(output) == [
        "loss",
        "logits",
        *(["cls_logits", "distillation_logits"] if len(plain) == 5 else []),
        "hidden_states",
    ]
    for value, name in zip(plain, output, strict=True):
        expected = output[name]
        pairs = zip(value, expected, strict=True) if name == "hidden_states" else [(value, expected)]
        assert all(torch.equal(*pair) for pair in pairs)


def test_the_configuration_has_the_defaults_of_the_call():
    model = LevitForImageClassification(small_config(return_dict=False, output_hidden_states=True)).eval()
    logits, hidden_states = model(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 2)
    assert [tuple(state.shape) for state in hidden_states] == [(1, 16, 16), (1, 4, 24), (1, 1, 32), (1, 1, 32)]
    assert len(model.levit(torch.zeros(1, 3, 64, 64))) == 3


def test_the_model_without_a_head_returns_features():
    model = levit.LevitModel(small_config()).eval()
    output = model(torch.zeros(2, 3, 64, 64))
    assert output.last_hidden_state.shape == (2, 1, 32)
    assert output.pooler_output.shape == (2, 32)
    assert output.hidden_states is None
    assert len(model(torch.zeros(2, 3, 64, 64), return_dict=False)) == 2


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize(
    ("num_labels", "labels", "loss"),
    [
        (3, torch.tensor([0, 2]), torch.nn.functional.cross_entropy),
        (1, torch.tensor([0.5, -1.0]), lambda logits, labels: torch.nn.functional.mse_loss(logits[:, 0], labels)),
        (3, torch.tensor([[1.0, 0, 1], [0, 0, 1]]), torch.nn.functional.binary_cross_entropy_with_logits),
    ],
)
def test_the_loss_depends_on_the_kind_of_labels(model_class, num_labels, labels, loss):
    model = model_class(small_config(num_labels=num_labels)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # so that the two heads differ
            parameter.add_(torch.randn_like(parameter) * 0.1)
    output = model(torch.randn(2, 3, 64, 64), labels=labels)
    heads = [output.cls_logits, output.distillation_logits] if "cls_logits" in output else [output.logits]
    expected = sum(loss(head, labels) for head in heads) / len(heads)
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_batch_of_one_image_is_accepted_in_training_mode(model_class):
    """The references raise an error, because one row has no variance. The statistics stay unchanged."""
    model = model_class(small_config(num_labels=3)).train()
    before = {name: buffer.clone() for name, buffer in model.classifier.named_buffers()}
    output = model(torch.randn(1, 3, 64, 64), labels=torch.tensor([1]))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert model.classifier.linear.weight.grad.abs().sum() > 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.classifier.named_buffers())


def test_without_classes_the_logits_are_the_features():
    model = LevitForImageClassificationWithTeacher(small_config(num_labels=0)).eval()
    assert model(torch.zeros(2, 3, 64, 64)).logits.shape == (2, 32)


def test_drop_path_drops_branches_per_image_in_training_mode_only():
    model = levit.LevitModel(small_config(drop_path_rate=0.5))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.ones_(module.weight)
    image = torch.randn(1, 3, 64, 64).expand(64, -1, -1, -1)
    features = model.train()(image).pooler_output
    assert len(features.unique(dim=0)) > 1
    features = model.eval()(image).pooler_output
    torch.testing.assert_close(features, features[:1].expand(64, -1))


def test_the_logits_are_the_mean_of_two_heads():
    model = LevitForImageClassificationWithTeacher.from_pretrained(GOLDEN / "tiny" / "transformers")
    output = model(torch.randn(2, 3, 112, 112))
    assert torch.equal(output.logits, (output.cls_logits + output.distillation_logits) / 2)
    assert not torch.equal(output.cls_logits, output.distillation_logits)


@pytest.mark.parametrize("name", ["LevitModel", *(model_class.__name__ for model_class in CLASSES)])
def test_the_arguments_of_stock_transformers_come_first_in_its_order(name):
    own, stock = (list(signature(getattr(library, name).forward).parameters) for library in (levit, transformers))
    stock.remove("kwargs")
    assert own[: len(stock)] == stock
