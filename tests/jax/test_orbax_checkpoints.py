"""Checkpoints of orbax."""

import json
import shutil

import orbax.checkpoint as ocp
import pytest

import levit
import levit.jax
from levit.jax.checkpoints import canonical_weights
from tests.architectures import small_architecture
from tests.conftest import random_checkpoint
from tests.jax.test_checkpoints import assert_equal


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orbax") / "checkpoint"
    model = levit.jax.load(random_checkpoint(small_architecture()), drop_path_rate=0.25)
    return model, levit.jax.save_orbax(model, folder)


def test_a_loaded_network_is_the_one_that_was_saved(saved):
    model, folder = saved
    loaded = levit.jax.load_orbax(folder)
    assert loaded.drop_path_rate == 0.25
    assert_equal(levit.jax.to_checkpoint(loaded), levit.jax.to_checkpoint(model))


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


def test_a_folder_with_other_content_is_kept(tmp_path, saved, monkeypatch):
    shutil.copytree(saved[1], tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, "checkpoint", "."):
        (tmp_path / folder / "photos.txt").write_text("mine", encoding="utf-8")
        message = r"is not replaced, because it has other content than a checkpoint of .*save_orbax: give a new folder$"
        with pytest.raises(levit.CheckpointError, match=message):
            levit.jax.save_orbax(saved[0], folder)
        assert (tmp_path / folder / "photos.txt").read_text(encoding="utf-8") == "mine"


def test_a_save_that_fails_keeps_the_earlier_checkpoint(tmp_path, saved, monkeypatch):
    other = levit.jax.load(random_checkpoint(small_architecture(num_labels=2)))
    levit.jax.save_orbax(other, tmp_path / "checkpoint")

    def fail(*_args, **_options):
        raise OSError("No space left on device")

    monkeypatch.setattr(ocp.CompositeCheckpointHandler, "save", fail)
    with pytest.raises(levit.CheckpointError, match=r"checkpoint cannot be written \(No space left on device\)"):
        levit.jax.save_orbax(saved[0], tmp_path / "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    assert levit.jax.load_orbax(tmp_path / "checkpoint").config.num_labels == 2


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path, saved):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "checkpoint"):
        with pytest.raises(levit.CheckpointError, match=rf"{folder.name} cannot be written \(.*\)$") as error:
            levit.jax.save_orbax(saved[0], folder)
        assert len(str(error.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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


@pytest.mark.parametrize("value", [None, "", "none"])
def test_a_damaged_description_is_refused_in_one_line(value, tmp_path, saved):
    folder = shutil.copytree(saved[1], tmp_path / "damaged")
    description = json.loads((folder / "levit" / "metadata").read_text(encoding="utf-8")) | {"drop_path_rate": value}
    (folder / "levit" / "metadata").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(levit.CheckpointError, match=r"damaged is not a checkpoint of levit\.jax\.save_orbax"):
        levit.jax.load_orbax(folder)
