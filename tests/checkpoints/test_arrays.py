import argparse
import io
import os
import pickle
import sys

import numpy as np
import pytest
import torch

from levit.checkpoints.arrays import read_arrays
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

TENSORS = {"a": torch.arange(6).float().reshape(2, 3), "b": torch.tensor(7)}


class Exploit:
    """What a malicious file holds: unpickling it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("content", [TENSORS, {"model": TENSORS}, {"state_dict": TENSORS, "meta": {"epoch": 3}}])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_weights_are_found_at_any_level(tmp_path, content, suffix):
    file = tmp_path / f"weights{suffix}"
    torch.save(content, file)
    arrays = read_arrays(file)
    assert list(arrays) == ["a", "b"]
    assert np.array_equal(arrays["a"], TENSORS["a"])


def test_the_arguments_that_facebook_s_files_hold_are_admitted(tmp_path):
    arguments = argparse.Namespace(model="LeViT_128S", lr=5e-4, output_dir="out", world_size=8)
    torch.save({"model": TENSORS, "args": arguments, "epoch": 999}, tmp_path / "LeViT.pth")
    assert list(read_arrays(tmp_path / "LeViT.pth")) == ["a", "b"]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(tmp_path, zipped):
    marker, file = tmp_path / "marker", tmp_path / "evil.pth"
    torch.save({"model": TENSORS, "extra": Exploit(marker)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"evil\.pth: refused, because it holds code") as caught:
        read_arrays(file)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_a_plain_pickle_that_would_run_code_does_not_run_it(tmp_path):
    marker, file = tmp_path / "marker", tmp_path / "evil.bin"
    file.write_bytes(pickle.dumps(Exploit(marker)))
    with pytest.raises(CheckpointError, match=r"evil\.bin"):
        read_arrays(file)
    assert not marker.exists()


@pytest.mark.parametrize("keep", [0, 10, 1000, 100_000])
def test_a_truncated_file_is_one_clear_line(tmp_path, keep):
    file = tmp_path / "half.pth"
    file.write_bytes((GOLDEN / "tiny" / "facebook.pth").read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"half\.pth: not a .*file of torch.*: fetch it again") as caught:
        read_arrays(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
def test_a_text_file_by_another_name_is_one_clear_line(tmp_path, name):
    (tmp_path / name).write_text("These are not the weights you are looking for.\n" * 20)
    with pytest.raises(CheckpointError, match="fetch it again") as caught:
        read_arrays(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": [1]}])
def test_what_holds_no_weights_is_one_clear_line(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not the weights of a network"):
        read_arrays(tmp_path / "other.pth")


def test_another_kind_of_file_says_what_is_expected(tmp_path):
    (tmp_path / "weights.h5").touch()
    with pytest.raises(CheckpointError, match=r"weights\.h5: give a \.safetensors file"):
        read_arrays(tmp_path / "weights.h5")


def test_without_torch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CheckpointError, match=r'pip install "levit\[torch\]"'):
        read_arrays(GOLDEN / "tiny" / "facebook.pth")


def test_halves_are_widened(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": torch.tensor([1.5, 2.25], dtype=torch.bfloat16)}, buffer)
    (tmp_path / "half.pth").write_bytes(buffer.getvalue())
    assert read_arrays(tmp_path / "half.pth")["a"].tolist() == [1.5, 2.25]
