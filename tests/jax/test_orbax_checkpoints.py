"""Checkpoints of orbax."""

import numpy as np
import orbax.checkpoint as ocp
import pytest

import levit
import levit.jax
from levit.jax.checkpoints import canonical_weights
from tests.architectures import small_architecture
from tests.conftest import random_checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orbax") / "checkpoint"
    model = levit.jax.load(random_checkpoint(small_architecture()), drop_path_rate=0.25)
    return model, levit.jax.save_orbax(model, folder)


def test_a_loaded_network_is_the_one_that_was_saved(saved):
    model, folder = saved
    loaded = levit.jax.load_orbax(folder)
    assert (loaded.config, loaded.labels, loaded.preprocessing) == (model.config, model.labels, model.preprocessing)
    assert loaded.drop_path_rate == 0.25
    expected = canonical_weights(model)
    assert all(np.array_equal(array, expected[name]) for name, array in canonical_weights(loaded).items())


def test_the_weights_are_a_tree_under_canonical_names_that_orbax_alone_reads(saved):
    model, folder = saved
    weights = ocp.StandardCheckpointer().restore(folder / "weights")
    assert set(weights) == set(canonical_weights(model))


def test_an_earlier_checkpoint_is_replaced(saved):
    _, folder = saved
    other = levit.jax.load(random_checkpoint(small_architecture(num_labels=2)))
    levit.jax.save_orbax(other, folder.with_name("replaced"))
    levit.jax.save_orbax(saved[0], folder.with_name("replaced"))
    assert levit.jax.load_orbax(folder.with_name("replaced")).config.num_labels == 5


@pytest.mark.parametrize("content", [None, "", "damaged"])
def test_other_folders_are_refused_in_one_line(content, tmp_path, saved):
    folder = tmp_path / "other"
    if content is not None:
        folder.mkdir()
    if content:
        (folder / "weights").mkdir()
        (folder / "_CHECKPOINT_METADATA").write_text("{")
    with pytest.raises(levit.CheckpointError, match=r"other is not a checkpoint of levit\.jax\.save_orbax") as error:
        levit.jax.load_orbax(folder)
    assert len(str(error.value).splitlines()) == 1
