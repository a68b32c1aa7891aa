"""Images of another size than the trained one."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import levit
from levit.model.attention_bias import resize_attention_biases
from tests.conftest import GOLDEN
from tests.model.networks import randomized, small_config

SIZES = [(64, 64), (96, 64), (64, 96), (128, 128), (32, 32), (16, 80), (1, 1), (65, 47)]


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_images_of_any_size_have_logits(size, implementation):
    model = randomized(levit.LevitForImageClassification(small_config(attn_implementation=implementation)))
    output = model(torch.randn(2, 3, *size), output_hidden_states=True, output_attentions=True)
    assert torch.isfinite(output.logits).all()
    rows, columns = (-(-side // 16) for side in size)
    assert output.hidden_states[0].shape == (2, rows * columns, 16)
    assert output.attentions[0].shape[2:] == (rows * columns, rows * columns)


@torch.no_grad()
def test_a_size_with_the_trained_grid_uses_the_trained_biases():
    """105x105 pixels result in the 7x7 tokens of the tiny network: golden/behaviours.json."""
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(GOLDEN / "tiny" / "transformers")
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(GOLDEN / "tiny" / "transformers").eval()
    images = torch.randn(2, 3, 105, 105)
    assert torch.equal(model(images).logits, stock(images).logits)


@torch.no_grad()
def test_another_size_equals_a_network_of_that_size_with_interpolated_biases():
    trained = randomized(levit.LevitForImageClassification(small_config()))
    built = levit.LevitForImageClassification(small_config(image_size=[96, 160])).eval()
    grids = dict(trained.named_modules()), dict(built.named_modules())
    weights = {}
    for name, tensor in trained.state_dict().items():
        module = name.removesuffix(".attention_biases")
        is_bias = module != name
        weights[name] = (
            resize_attention_biases(tensor, grids[0][module].grid, grids[1][module].grid) if is_bias else tensor
        )
    built.load_state_dict(weights)
    images = torch.randn(2, 3, 96, 160)
    assert torch.equal(trained(images).logits, built(images).logits)


sides = st.integers(1, 9)


@given(trained=st.tuples(sides, sides), grid=st.tuples(sides, sides), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_interpolation_keeps_the_end_points_and_the_range(trained, grid, seed):
    biases = torch.randn(2, trained[0] * trained[1], generator=torch.Generator().manual_seed(seed))
    resized = resize_attention_biases(biases, trained, grid).view(2, *grid)
    table = biases.view(2, *trained)
    torch.testing.assert_close(resized[:, 0, 0], table[:, 0, 0])
    assert resized.max() <= biases.max() + 1e-6
    assert resized.min() >= biases.min() - 1e-6
    if grid[0] > 1 and grid[1] > 1:
        torch.testing.assert_close(resized[:, -1, -1], table[:, -1, -1])


def test_biases_receive_gradients_from_images_of_another_size():
    model = randomized(levit.LevitForImageClassification(small_config()))
    model(torch.randn(2, 3, 96, 96)).logits.square().sum().backward()
    bias = model.levit.encoder.stages[0].layers[0].module.attention_biases
    assert bias.grad.abs().sum() > 0


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_accepts_another_size(dtype):
    model = randomized(levit.LevitForImageClassification(small_config())).to(dtype)
    assert model(torch.randn(1, 3, 80, 112, dtype=dtype)).logits.dtype == dtype
