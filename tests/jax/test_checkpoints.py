"""Loading and saving of networks in JAX."""

from dataclasses import fields, replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import levit
import levit.jax
from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.reference import run_reference
from levit.jax.checkpoints import canonical_weights
from levit.spec.preprocessing import Preprocessing
from tests.architectures import small_architecture
from tests.conftest import GOLDEN, random_checkpoint, relative

TINY = GOLDEN / "tiny"


def assert_equal_weights(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def assert_equal(actual, expected):
    """Compare everything but the source of two checkpoints."""
    assert_equal_weights(actual.weights, expected.weights)
    names = {field.name for field in fields(Checkpoint)} - {"weights", "source"}
    assert {name: getattr(actual, name) for name in names} == {name: getattr(expected, name) for name in names}


@pytest.mark.parametrize("name", ["transformers", "timm-conv", "mmpretrain.pth", "facebook-fused.pth"])
def test_every_dialect_is_loaded_without_a_change(name):
    assert_equal_weights(canonical_weights(levit.jax.load(TINY / name)), levit.read_checkpoint(TINY / name).weights)


def test_a_saved_network_is_the_one_that_was_loaded(tmp_path):
    checkpoint = levit.read_checkpoint(TINY / "timm")
    model = levit.jax.load(checkpoint, drop_path_rate=0.25)
    saved = levit.read_checkpoint(levit.jax.save(model, tmp_path / "saved"))
    assert_equal(saved, replace(checkpoint, drop_path_rate=0.25))
    with pytest.warns(levit.LevitWarning, match="cannot contain the preprocessing"):
        file = levit.jax.save(model, tmp_path / "saved.pth", to="facebook")
    assert_equal_weights(levit.read_checkpoint(file).weights, checkpoint.weights)


@pytest.mark.parametrize("problem", [{"is_multi_label": True}, {"problem_type": "regression"}], ids=str)
def test_fields_that_are_not_the_defaults_are_saved_and_loaded(tmp_path, problem):
    checkpoint = replace(
        random_checkpoint(small_architecture()), initializer_range=0.5, drop_path_rate=0.25, labels=tuple("abcde"),
        distillation_type="soft", distillation_alpha=0.25, distillation_tau=3.0, **problem,
    )  # fmt: skip
    model = levit.jax.load(checkpoint)
    assert_equal(levit.jax.to_checkpoint(model), checkpoint)
    assert_equal(levit.read_checkpoint(levit.jax.save(model, tmp_path / "saved")), checkpoint)
    loaded = levit.jax.load_orbax(levit.jax.save_orbax(model, tmp_path / "orbax"))
    assert_equal(levit.jax.to_checkpoint(loaded), checkpoint)


def test_a_new_head_may_have_as_many_classes_as_the_configuration_without_a_head():
    checkpoint = random_checkpoint(small_architecture(num_classifiers=0, num_labels=3))
    with pytest.warns(levit.LevitWarning, match="1 head for 3 classes instead of none, newly initialized"):
        model = levit.jax.load(checkpoint, num_labels=3)
    assert model(jnp.zeros((1, 3, 32, 32)), train=False).logits.shape == (1, 3)


def test_a_network_with_masks_is_saved_and_loaded_and_computes_the_reference(tmp_path):
    checkpoint = random_checkpoint(small_architecture(has_attention_masks=True))
    loaded = levit.jax.load(levit.jax.save(levit.jax.load(checkpoint), tmp_path / "masked"))
    assert_equal_weights(canonical_weights(loaded), checkpoint.weights)
    images = np.random.default_rng(1).normal(size=(2, 3, 32, 32)).astype(np.float32)
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    logits = nnx.jit(lambda model, pixels: model(pixels, train=False).logits)(loaded, jnp.asarray(images))
    assert relative(np.asarray(logits), expected) < 1e-5


def test_other_classes_need_new_heads():
    checkpoint = random_checkpoint(small_architecture(num_classifiers=0, num_labels=0))
    with pytest.warns(levit.LevitWarning, match="1 head for 3 classes instead of none, newly initialized"):
        model = levit.jax.load(checkpoint, num_labels=3)
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    weights = canonical_weights(model)
    assert weights["classifier.linear.weight"].shape == (3, 24)
    name = "levit.patch_embeddings.embedding_layer_1.convolution.weight"
    np.testing.assert_array_equal(weights[name], checkpoint.weights[name])


def test_options_are_validated():
    checkpoint = random_checkpoint(small_architecture())
    with pytest.raises(levit.ConfigError, match="num_labels: 0 is invalid"):
        levit.jax.load(checkpoint, num_labels=0)
    with pytest.raises(TypeError, match="activation: not accepted together with a checkpoint"):
        levit.jax.load(checkpoint, activation="silu")


def test_labels_and_preprocessing_are_those_of_the_network():
    preprocessing = Preprocessing(resize=36, crop=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    model = levit.jax.LeViT(small_architecture(), labels=list("abcde"), preprocessing=preprocessing, rngs=nnx.Rngs(0))
    checkpoint = levit.jax.to_checkpoint(model, name="letters")
    assert (checkpoint.labels, checkpoint.preprocessing) == (tuple("abcde"), preprocessing)
    assert (checkpoint.source.name, checkpoint.num_parameters) == ("letters", 14122)
