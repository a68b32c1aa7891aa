"""torch.compile, torch.export, copies: what people do to a network."""

import copy
import pickle

import pytest
import torch

import levit
from tests.model.networks import randomized, small_config

CLASSES = [
    levit.LevitModel,
    levit.LevitBackbone,
    levit.LevitForImageClassification,
    levit.LevitForImageClassificationWithTeacher,
]
# `make quick` compiles the largest of them alone: it contains the others.
ONE_QUICK = [pytest.param(one, marks=pytest.mark.slow) for one in CLASSES[:-1]] + CLASSES[-1:]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def network(model_class, implementation="eager"):
    return randomized(model_class(small_config(attn_implementation=implementation)))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@torch.no_grad()
@pytest.mark.parametrize("model_class", ONE_QUICK)
@pytest.mark.parametrize("implementation", [pytest.param("eager", marks=pytest.mark.slow), "sdpa"])
def test_there_is_one_graph_and_no_break(model_class, implementation):
    model = network(model_class, implementation)
    explained = torch._dynamo.explain(model)(IMAGES)
    assert explained.graph_break_count == 0, explained.break_reasons
    assert explained.graph_count == 1


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"output_hidden_states": True, "output_attentions": True}, {"return_dict": False}, {}],
    ids=["everything", "tuple", "plain"],
)
def test_every_form_of_output_is_one_graph(options):
    model = network(levit.LevitForImageClassificationWithTeacher)
    for images in (IMAGES, torch.randn(1, 3, 96, 80)):
        explained = torch._dynamo.explain(model)(images, **options)
        assert explained.graph_break_count == 0, explained.break_reasons


@pytest.mark.slow
def test_training_with_a_teacher_is_one_graph():
    model = network(levit.LevitForImageClassificationWithTeacher).train()
    inputs = {"labels": torch.tensor([0, 1]), "teacher_logits": torch.randn(2, 2)}
    assert torch._dynamo.explain(model)(IMAGES, **inputs).graph_break_count == 0


@pytest.mark.slow
def test_compiled_training_is_training():
    """`aot_eager` captures forward and backward as inductor does, without waiting for a compiler."""
    plain = network(levit.LevitForImageClassificationWithTeacher).train()
    compiled = copy.deepcopy(plain)
    step = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    labels = torch.tensor([0, 1])
    expected, found = plain(IMAGES, labels=labels).loss, step(IMAGES, labels=labels).loss
    torch.testing.assert_close(found, expected)
    expected.backward()
    found.backward()
    for parameter, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, atol=1e-4, rtol=1e-3)
    for buffer, other in zip(plain.buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(other, buffer)


@pytest.mark.slow
@torch.no_grad()
def test_inductor_gives_the_same_logits():
    model = network(levit.LevitForImageClassification)
    expected = model(IMAGES).logits
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(IMAGES).logits, expected, atol=1e-4, rtol=1e-4)
    several = torch.randn(5, 3, 64, 64)
    torch.testing.assert_close(compiled(several).logits, model(several).logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("model_class", ONE_QUICK)
def test_exports_with_a_dynamic_batch(model_class):
    model = network(model_class)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (IMAGES,), dynamic_shapes={"pixel_values": {0: batch}})
    for number in (2, 7):
        images = torch.randn(number, 3, 64, 64)
        found, expected = program.module()(images), model(images)
        for name, value in expected.items():
            values = zip(found[name], value, strict=True) if isinstance(value, tuple) else [(found[name], value)]
            for one, other in values:
                torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("model_class", ONE_QUICK)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_and_pickles_compute_the_same(model_class, clone):
    model = network(model_class)
    first, second = model(IMAGES, return_dict=False)[0], clone(model)(IMAGES, return_dict=False)[0]
    pairs = zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]
    assert all(torch.equal(one, other) for one, other in pairs)


@torch.no_grad()
def test_a_whole_network_may_be_saved(tmp_path):
    model = network(levit.LevitForImageClassification)
    torch.save(model, tmp_path / "whole.pt")
    loaded = torch.load(tmp_path / "whole.pt", weights_only=False)
    assert torch.equal(loaded(IMAGES).logits, model(IMAGES).logits)
