import io
import sys

import numpy as np
import pytest
import torch

from levit.checkpoints.weight_files import read_stored
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

TENSORS = {"a": torch.arange(6).float().reshape(2, 3), "b": torch.tensor(7)}


@pytest.mark.parametrize("content", [TENSORS, {"model": TENSORS}, {"state_dict": TENSORS, "meta": {"epoch": 3}}])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".pth.tar"])
def test_weights_are_found_at_any_level(tmp_path, content, suffix):
    file = tmp_path / f"weights{suffix}"
    torch.save(content, file)
    arrays = read_stored(file).arrays
    assert list(arrays) == ["a", "b"]
    assert np.array_equal(arrays["a"], TENSORS["a"])


@pytest.mark.parametrize(
    "meta",
    [
        {"dataset_meta": {"classes": ("cat", "dog")}},
        {"dataset_meta": {"CLASSES": ["cat", "dog"]}},
        {"CLASSES": ["cat", "dog"], "epoch": 3},
    ],
)
def test_class_names_are_found_where_mmpretrain_and_mmcls_keep_them(tmp_path, meta):
    torch.save({"meta": meta, "state_dict": TENSORS}, tmp_path / "mm.pth")
    assert read_stored(tmp_path / "mm.pth").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "meta", [None, 7, {}, {"dataset_meta": None}, {"dataset_meta": {"classes": None}}, {"CLASSES": 3}]
)
def test_there_may_be_no_class_names(tmp_path, meta):
    torch.save({"meta": meta, "state_dict": TENSORS}, tmp_path / "mm.pth")
    assert read_stored(tmp_path / "mm.pth").class_names is None


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
def test_a_text_file_by_another_name_is_one_clear_line(tmp_path, name):
    (tmp_path / name).write_text("These are not the weights you are looking for.\n" * 20)
    with pytest.raises(CheckpointError, match="fetch it again") as caught:
        read_stored(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": [1]}])
def test_what_holds_no_weights_is_one_clear_line(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth: .*not the weights of a network"):
        read_stored(tmp_path / "other.pth")


def test_another_kind_of_file_says_what_is_expected(tmp_path):
    (tmp_path / "weights.h5").touch()
    with pytest.raises(CheckpointError, match=r"weights\.h5: give a \.safetensors file"):
        read_stored(tmp_path / "weights.h5")


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CheckpointError, match=r'pip install "levit\[torch\]"'):
        read_stored(GOLDEN / "tiny" / "facebook.pth")


def test_halves_are_widened(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.tensor([1.5, 2.25], dtype=torch.bfloat16)}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue())
    assert read_stored(tmp_path / "half.pth").arrays["a"].tolist() == [1.5, 2.25]
