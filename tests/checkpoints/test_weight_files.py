import io
import json
import sys

import numpy as np
import pytest
import torch

from levit.checkpoints.weight_files import read_weight_file
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

TENSORS = {"a": torch.arange(6).float().reshape(2, 3), "b": torch.tensor(7)}


@pytest.mark.parametrize("content", [TENSORS, {"model": TENSORS}, {"state_dict": TENSORS, "meta": {"epoch": 3}}])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".pth.tar"])
def test_weights_are_read_at_the_top_level_or_in_an_entry(tmp_path, content, suffix):
    file = tmp_path / f"weights{suffix}"
    torch.save(content, file)
    arrays = read_weight_file(file).arrays
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
def test_class_names_of_mmpretrain_and_mmcls_are_read(tmp_path, meta):
    torch.save({"meta": meta, "state_dict": TENSORS}, tmp_path / "mm.pth")
    assert read_weight_file(tmp_path / "mm.pth").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "meta", [None, 7, {}, {"dataset_meta": None}, {"dataset_meta": {"classes": None}}, {"CLASSES": 3}]
)
def test_class_names_may_be_absent(tmp_path, meta):
    torch.save({"meta": meta, "state_dict": TENSORS}, tmp_path / "mm.pth")
    assert read_weight_file(tmp_path / "mm.pth").class_names is None


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
def test_a_text_file_with_the_suffix_of_weights_is_an_error_of_one_line(tmp_path, name):
    (tmp_path / name).write_text("These are not weights.\n" * 20)
    with pytest.raises(CheckpointError, match="download it again") as caught:
        read_weight_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": [1]}])
def test_content_without_weights_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth (contains|has) .*not the weights of a network"):
        read_weight_file(tmp_path / "other.pth")


def test_the_hint_for_another_type_of_file_lists_the_supported_ones(tmp_path):
    (tmp_path / "weights.h5").touch()
    with pytest.raises(CheckpointError, match=r"weights\.h5: unknown type of file: give a \.safetensors file"):
        read_weight_file(tmp_path / "weights.h5")


def test_without_torch_the_hint_is_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CheckpointError, match=r'pip install "levit\[torch\]"'):
        read_weight_file(GOLDEN / "tiny" / "facebook.pth")


def test_half_precision_is_read(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.tensor([1.5, 2.25], dtype=torch.bfloat16)}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue())
    assert read_weight_file(tmp_path / "half.pth").arrays["a"].tolist() == [1.5, 2.25]


def test_a_shape_with_more_axes_than_numpy_has_is_an_error(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}).encode()
    (tmp_path / "axes.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=r"axes\.safetensors: not a safetensors file, or truncated \(maximum"):
        read_weight_file(tmp_path / "axes.safetensors")
