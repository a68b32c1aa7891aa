"""torch.compile, torch.export, copies and pickles of the networks."""

import copy
import pickle

import pytest
import torch

import levit
from tests.model.networks import randomized, small_config, smallest_config

CLASSES = [
    levit.LevitModel,
    levit.LevitBackbone,
    levit.LevitForImageClassification,
    levit.LevitForImageClassificationWithTeacher,
]
# `make quick` compiles only the largest network, which contains the others.
QUICK_AND_SLOW_CLASSES = [pytest.param(cls, marks=pytest.mark.slow) for cls in CLASSES[:-1]] + CLASSES[-1:]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def network(model_class, implementation="eager"):
    return randomized(model_class(small_config(attn_implementation=implementation)))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
@pytest.mark.parametrize("model_class", QUICK_AND_SLOW_CLASSES)
@pytest.mark.parametrize("implementation", [pytest.param("eager", marks=pytest.mark.slow), "sdpa"])
def test_a_network_is_captured_as_one_graph(model_class, implementation):
    model = network(model_class, implementation)
    explained = torch._dynamo.explain(model)(IMAGES)
    assert explained.graph_break_count == 0, explained.break_reasons
    assert explained.graph_count == 1


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"output_hidden_states": True, "output_attentions": True}, {"return_dict": False}, {}],
    ids=["all outputs", "tuple", "logits"],
)
def test_every_form_of_output_is_captured_as_one_graph(options):
    model = network(levit.LevitForImageClassificationWithTeacher)
    for images in (IMAGES, torch.randn(1, 3, 96, 80)):
        explained = torch._dynamo.explain(model)(images, **options)
        assert explained.graph_break_count == 0, explained.break_reasons


@pytest.mark.slow
def test_distillation_is_captured_as_one_graph():
    model = network(levit.LevitForImageClassificationWithTeacher).train()
    inputs = {"labels": torch.tensor([0, 1]), "teacher_logits": torch.randn(2, 2)}
    assert torch._dynamo.explain(model)(IMAGES, **inputs).graph_break_count == 0


@pytest.mark.slow
def test_a_compiled_training_step_equals_an_uncompiled_one():
    """`aot_eager` captures forward and backward pass as inductor does, without code generation."""
    plain = network(levit.LevitForImageClassificationWithTeacher).train()
    compiled = copy.deepcopy(plain)
    step = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    labels = torch.tensor([0, 1])
    expected_loss, loss = plain(IMAGES, labels=labels).loss, step(IMAGES, labels=labels).loss
    torch.testing.assert_close(loss, expected_loss)
    expected_loss.backward()
    loss.backward()
    for expected, actual in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, atol=1e-4, rtol=1e-3)
    for expected, actual in zip(plain.buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.slow
@torch.no_grad()
def test_inductor_computes_the_same_logits():
    """For a static batch size, and for a dynamic one after the second call."""
    model = randomized(levit.LevitForImageClassification(smallest_config()))
    expected = model(IMAGES).logits
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(IMAGES).logits, expected, atol=1e-4, rtol=1e-4)
    several = torch.randn(5, 3, 64, 64)
    torch.testing.assert_close(compiled(several).logits, model(several).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("model_class", CLASSES)
def test_a_network_is_exported_with_a_dynamic_batch_size(model_class):
    model = network(model_class)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (IMAGES,), dynamic_shapes={"pixel_values": {0: batch}})
    for number in (2, 7):
        images = torch.randn(number, 3, 64, 64)
        actual, expected = program.module()(images), model(images)
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value)


@torch.no_grad()
@pytest.mark.parametrize("model_class", QUICK_AND_SLOW_CLASSES)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_compute_the_same(model_class, clone):
    model = network(model_class)
    first, second = model(IMAGES, return_dict=False)[0], clone(model)(IMAGES, return_dict=False)[0]
    torch.testing.assert_close(second, first, atol=0, rtol=0)


@torch.no_grad()
def test_a_pickled_network_is_loaded_by_torch(tmp_path):
    model = network(levit.LevitForImageClassification)
    torch.save(model, tmp_path / "whole.pt")
    loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert torch.equal(loaded(IMAGES).logits, model(IMAGES).logits)
