"""The network in JAX against the golden outputs, the float64 reference and the network in torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import levit
from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.reference import run_reference
from levit.jax import LeViT, distillation_loss, from_checkpoint, load
from levit.jax.checkpoints import WEIGHTS
from levit.jax.layers import BatchNorm, Linear, Residual
from levit.spec.network import weight_shapes
from levit.spec.variants import VARIANTS
from tests.architectures import small_architecture
from tests.conftest import GOLDEN, agrees, random_checkpoint, relative

EXPECTED = np.load(GOLDEN / "tiny" / "expected.npz")

compute = nnx.jit(lambda model, pixel_values: model(pixel_values, train=False))


def pixels(checkpoint: Checkpoint, count: int = 4, seed: int = 1) -> np.ndarray:
    size = (count, checkpoint.architecture.num_channels, *checkpoint.architecture.image_height_width)
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def names(state: nnx.State) -> dict[str, jax.Array]:
    return {".".join(map(str, path)): variable[...] for path, variable in nnx.to_flat_state(state)}


@pytest.mark.slow
def test_the_outputs_equal_those_of_the_references():
    output = compute(load(GOLDEN / "tiny" / "facebook.pth"), jnp.asarray(np.load(GOLDEN / "tiny" / "input.npy")))
    for name in ("logits", "cls_logits", "distillation_logits", "last_hidden_state"):
        assert agrees(getattr(output, name), EXPECTED[name]), name
    assert agrees(output.pooler_output, EXPECTED["pooled_output"])


@pytest.mark.parametrize(
    "values",
    [
        {"num_classifiers": 1, "activation": "silu"},
        {"num_classifiers": 0, "image_size": (32, 48)},
        {"mlp_ratio": (0, 1.5), "num_channels": 1, "depths": (0, 2)},
    ],
)
def test_networks_of_other_forms_equal_the_reference(values):
    checkpoint = random_checkpoint(small_architecture(**values))
    images = pixels(checkpoint)
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)
    output = compute(from_checkpoint(checkpoint), jnp.asarray(images))
    assert relative(np.asarray(output.last_hidden_state), expected["last_hidden_state"]) < 1e-5
    if checkpoint.architecture.num_classifiers:
        assert relative(np.asarray(output.logits), expected["logits"]) < 1e-5
    else:
        assert output.logits is output.cls_logits is output.distillation_logits is None


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_paths_of_all_sizes_are_canonical_names(variant):
    architecture = variant.architecture()
    model = nnx.eval_shape(lambda: LeViT(variant.name, drop_path_rate=0.1, rngs=nnx.Rngs(0)))
    assert model.config == architecture
    flat = nnx.to_flat_state(nnx.state(model, WEIGHTS))
    assert {".".join(map(str, path)): variable.shape for path, variable in flat} == weight_shapes(architecture)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_the_logits_of_all_sizes_equal_the_reference(variant):
    checkpoint = random_checkpoint(variant.architecture(image_size=96, num_labels=20))
    images = pixels(checkpoint, count=1)
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    assert relative(np.asarray(compute(from_checkpoint(checkpoint), jnp.asarray(images)).logits), expected) < 1e-5


@pytest.fixture(scope="module")
def training_step():
    """Loss, gradients and updated network of one step with a teacher, in JAX and in torch."""

    checkpoint = random_checkpoint(small_architecture())
    images = pixels(checkpoint, count=8)
    labels = np.arange(8) % 5
    teacher = np.random.default_rng(2).normal(size=(8, 5)).astype(np.float32)

    model = from_checkpoint(checkpoint)
    step = nnx.jit(nnx.value_and_grad(lambda model: distillation_loss(model(images, train=True), labels, teacher)))
    loss, gradients = step(model)

    network = levit.load_checkpoint(checkpoint).train()
    expected = network(
        torch.from_numpy(images), labels=torch.from_numpy(labels), teacher_logits=torch.from_numpy(teacher)
    ).loss
    expected.backward()
    return loss, names(gradients), names(nnx.state(model, nnx.BatchStat)), expected.item(), network


def test_the_loss_and_gradients_of_a_step_equal_those_of_torch(training_step):
    loss, gradients, _, expected, network = training_step
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    parameters = dict(network.named_parameters())
    assert gradients.keys() == parameters.keys()
    scale = max(float(parameter.grad.abs().max()) for parameter in parameters.values())
    for name, parameter in parameters.items():
        np.testing.assert_allclose(gradients[name], parameter.grad, atol=1e-4 * scale, rtol=1e-4, err_msg=name)


def test_the_statistics_after_a_step_equal_those_of_torch(training_step):
    _, _, statistics, _, network = training_step
    buffers = dict(network.named_buffers())
    assert statistics.keys() == buffers.keys()
    for name, buffer in buffers.items():
        np.testing.assert_allclose(statistics[name], buffer, rtol=1e-5, atol=1e-5, err_msg=name)
    assert int(statistics["classifier.batch_norm.num_batches_tracked"]) == 8  # 7 in the checkpoint


def test_bf16_computes_in_half_precision_with_float32_weights():
    checkpoint = random_checkpoint(small_architecture())
    images = jnp.asarray(pixels(checkpoint))
    model = from_checkpoint(checkpoint, dtype=jnp.bfloat16)
    output = compute(model, images)
    assert (output.last_hidden_state.dtype, output.logits.dtype) == (jnp.bfloat16, jnp.float32)
    assert {array.dtype.name for array in names(nnx.state(model, nnx.Param)).values()} == {"float32"}
    difference = relative(np.asarray(output.logits), np.asarray(compute(from_checkpoint(checkpoint), images).logits))
    assert 0 < difference < 0.05


def test_drop_path_drops_or_enlarges_branches_in_training_only():
    class Double(nnx.Module):
        def __call__(self, x, *, train):
            return 2 * x

    block = Residual(Double(), drop_path_rate=0.75, rngs=nnx.Rngs(0))
    x = jnp.ones((1000, 1, 1, 1))
    assert (block(x, train=False) == 3).all()
    first, second = block(x, train=True), block(x, train=True)
    assert set(np.unique(first)) == {1, 9}  # dropped, or 2 / (1 - 0.75) added
    assert 0.2 < float((first == 9).mean()) < 0.3
    assert (first != second).any()


def test_a_single_row_is_normalized_by_the_running_statistics():
    norm = BatchNorm(2)
    norm.running_mean[...] = jnp.array([1.0, 2.0])
    assert norm(jnp.array([[1.0, 2.0]]), train=True).tolist() == [[0.0, 0.0]]
    assert norm.running_mean[...].tolist() == [1.0, 2.0]
    assert int(norm.num_batches_tracked[...]) == 0


@pytest.mark.slow
def test_the_initial_weights_have_the_distributions_of_torch():

    architecture = small_architecture(hidden_sizes=(64, 96), num_labels=50)
    weights = names(nnx.state(LeViT(architecture, rngs=nnx.Rngs(3)), nnx.Param))
    fields = {"image_size": 32, "patch_size": 8, "hidden_sizes": [64, 96], "depths": [1, 1], "key_dim": [4, 4]}
    pairs = {"num_attention_heads": [2, 3], "mlp_ratio": [2, 2], "attention_ratio": [2, 2], "num_labels": 50}
    torch.manual_seed(0)
    expected = levit.LevitForImageClassificationWithTeacher(levit.LevitConfig(**fields, **pairs)).state_dict()
    for name, array in weights.items():
        values = expected[name].numpy()
        assert np.std(array) == pytest.approx(np.std(values), rel=0.15, abs=1e-6), name
        assert np.abs(array).max() == pytest.approx(np.abs(values).max(), rel=0.35, abs=1e-6), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"drop_path_rate": 1.0}, "drop_path_rate: 1.0 is invalid: use a number from 0 to below 1"),
        ({"labels": ["cat"]}, "labels: 1 names for 5 classes"),
        ({"config": small_architecture(activation="gelu")}, "activation: gelu is not implemented in JAX: use one of "),
        (
            {"config": small_architecture(mlp_batch_norm=False)},
            "config: not implemented in JAX: its layers are not those of the paper",
        ),
    ],
)
def test_invalid_options_are_refused(values, message):
    with pytest.raises(levit.ConfigError) as error:
        LeViT(**{"config": small_architecture(), "rngs": nnx.Rngs(0), **values})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (jnp.zeros((1, 3, 32, 40)), "pixel_values has shape [1, 3, 32, 40]: give [batch, 3, 32, 32]"),
        (jnp.zeros((1, 32, 32, 3)), "pixel_values has shape [1, 32, 32, 3]: give [batch, 3, 32, 32]"),
        (jnp.zeros((1, 3, 32, 32), jnp.uint8), "pixel_values has dtype uint8: normalize with the image processor"),
    ],
)
def test_invalid_images_are_refused(images, message):
    model = nnx.eval_shape(lambda: LeViT(small_architecture(), rngs=nnx.Rngs(0)))
    with pytest.raises(levit.ConfigError) as error:
        model(images, train=False)
    assert str(error.value) == message


def test_a_standard_deviation_of_zero_initializes_a_head_to_zero():
    assert not Linear(3, 2, std=0.0, rngs=nnx.Rngs(0)).weight[...].any()
