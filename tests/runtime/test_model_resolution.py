"""Artifacts of models by name, and the cache of folded checkpoints."""

import json
import shutil
from pathlib import Path

import onnx
import pytest

from levit.deployment import folding
from levit.errors import CheckpointError
from levit.runtime import model_resolution
from levit.runtime.model_resolution import find_artifact
from tests.marks import needs_permissions
from tests.runtime.small_model import LABELS, write_checkpoint


def labels_of(artifact: Path | bytes) -> tuple[str, ...]:
    content = artifact.read_bytes() if isinstance(artifact, Path) else artifact
    metadata = {pair.key: pair.value for pair in onnx.load_from_string(content).metadata_props}
    return tuple(json.loads(metadata["levit.labels"]))


def rename_labels(checkpoint: Path) -> tuple[str, ...]:
    config = json.loads((checkpoint / "config.json").read_text())
    config["id2label"] = {number: name.upper() for number, name in config["id2label"].items()}
    (checkpoint / "config.json").write_text(json.dumps(config))
    return tuple(config["id2label"].values())


def test_none_is_the_embedded_model():
    artifact = find_artifact(None)
    assert isinstance(artifact, Path)
    assert "espresso" in labels_of(artifact)


def test_an_onnx_file_is_its_own_artifact(tmp_path):
    file = tmp_path / "model.onnx"
    file.touch()
    assert find_artifact(str(file)) == file


def test_a_folded_checkpoint_is_cached_and_not_folded_again(checkpoint):
    first = find_artifact(checkpoint)
    assert isinstance(first, Path)
    assert labels_of(first) == LABELS
    inode = first.stat().st_ino
    assert find_artifact(checkpoint) == first
    assert first.stat().st_ino == inode


def flip_bits(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [truncate, flip_bits, lambda file: file.write_bytes(b"")])
def test_a_damaged_file_in_the_cache_is_replaced(checkpoint, damage):
    cached = find_artifact(checkpoint)
    content = cached.read_bytes()
    damage(cached)
    assert find_artifact(checkpoint) == cached
    assert cached.read_bytes() == content


def test_a_copy_of_a_checkpoint_shares_its_cached_file(checkpoint, tmp_path):
    copy = shutil.copytree(checkpoint, tmp_path / "elsewhere" / checkpoint.name)
    assert find_artifact(copy) == find_artifact(checkpoint)


def test_a_changed_configuration_is_folded_again(checkpoint):
    before = find_artifact(checkpoint)
    renamed = rename_labels(checkpoint)
    after = find_artifact(checkpoint)
    assert after != before
    assert labels_of(after) == renamed


def test_changed_code_folds_again(checkpoint, monkeypatch):
    before, stamped = find_artifact(checkpoint), []
    monkeypatch.setattr(model_resolution, "code_stamp", lambda *paths: stamped.extend(paths) or "another")
    assert find_artifact(checkpoint) != before
    assert Path(folding.__file__).parent in stamped


def test_changed_weights_are_folded_again(checkpoint):
    before = find_artifact(checkpoint)
    content = before.read_bytes()
    after = find_artifact(write_checkpoint(checkpoint, seed=1))
    assert after != before
    assert after.read_bytes() != content
    assert before.read_bytes() == content


def test_a_changed_preprocessing_is_folded_again(checkpoint):
    before = find_artifact(checkpoint)
    (checkpoint / "preprocessor_config.json").write_text(json.dumps({"resample": 2, "size": {"shortest_edge": 32}}))
    assert find_artifact(checkpoint) != before


@pytest.mark.parametrize("is_blocked", [False, True])
def test_without_a_cache_a_checkpoint_is_folded_in_memory(checkpoint, tmp_path, monkeypatch, is_blocked):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path / "file") if is_blocked else "")
    artifact = find_artifact(checkpoint)
    assert isinstance(artifact, bytes)
    assert labels_of(artifact) == LABELS
    assert labels_of(find_artifact(checkpoint)) == LABELS


def test_a_cache_that_cannot_be_written_is_no_error(checkpoint):
    cached = find_artifact(checkpoint)
    cached.unlink()
    cached.mkdir()
    assert labels_of(find_artifact(checkpoint)) == LABELS
    assert list(cached.parent.iterdir()) == [cached]


@needs_permissions
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(checkpoint, name):
    (checkpoint / name).chmod(0)
    with pytest.raises(CheckpointError) as caught:
        find_artifact(checkpoint)
    assert str(caught.value) == f"{checkpoint / name} cannot be read (Permission denied)"


@needs_permissions
def test_a_cache_of_another_user_is_read(checkpoint):
    cached = find_artifact(checkpoint)
    cached.parent.chmod(0o500)
    assert find_artifact(checkpoint) == cached
    rename_labels(checkpoint)
    assert isinstance(find_artifact(checkpoint), bytes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.onnx", "no such file"),
        ("folder.onnx", "no model.safetensors"),
        ("missing", "no such file, folder or known model name"),
        ("folder.onnx/empty", r"no model\.safetensors or pytorch_model\.bin in this folder"),
        ("notes.txt", r"give a \.safetensors file"),
    ],
)
def test_other_names_are_errors_that_name_them(tmp_path, name, message):
    (tmp_path / "folder.onnx" / "empty").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=message) as caught:
        find_artifact(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
