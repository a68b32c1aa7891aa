import io
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import torch

from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.stored_sizes import check_archive_sizes, check_tensor_sizes
from levit.checkpoints.weight_files import read_weight_file
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

FACEBOOK = GOLDEN / "tiny" / "facebook.pth"


def with_tensors(file, **tensors):
    """Write the weights of a LeViT with other tensors, and return the file."""
    content = torch.load(FACEBOOK, weights_only=True)
    weights = content.get("model", content)
    torch.save({"model": {**weights, **{key.replace("__", "."): tensor for key, tensor in tensors.items()}}}, file)
    return file


def deflated(source, file):
    """Write the entries of an archive compressed into another one, and return it."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in archive.infolist():
            target.writestr(entry.filename, archive.read(entry))
    return file


@pytest.mark.parametrize("key", ["head__l__weight", "stranger"])
def test_an_expanded_view_is_refused_before_it_is_copied(tmp_path, key):
    file = with_tensors(tmp_path / "view.pth", **{key: torch.zeros(1).expand(64_000, 64_000)})
    message = r"is \[64000, 64000\], 16,384\.0 MB, but all weights in the file have"
    tracemalloc.start()  # numpy and torch's arrays of numpy are traced
    try:
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(file)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


class Uninitialized:
    """Object that is stored as a shape, for which torch allocates a tensor of this shape as it reads the file."""

    def __reduce__(self):
        return torch.Tensor, (16_000, 1_000)


def test_a_tensor_whose_numbers_are_not_in_the_file_is_refused(tmp_path):
    file = with_tensors(tmp_path / "shape.pth", head__l__weight=Uninitialized())
    with pytest.raises(
        CheckpointError, match=r"head\.l\.weight is \[16000, 1000\], 64\.0 MB, but all weights in the file"
    ):
        read_checkpoint(file)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_many_views_of_one_tensor_are_refused(tmp_path, half):
    shared = torch.zeros(1 << 20, dtype=half)
    file = with_tensors(tmp_path / "views.pth", **{f"view{number}": shared for number in range(30)})
    with pytest.raises(CheckpointError, match="save contiguous copies"):
        read_weight_file(file)


def test_small_views_and_shared_weights_are_read(tmp_path):
    weights = {"scale": torch.ones(1).expand(384), "first": torch.ones(4, 4), "transposed": torch.ones(4, 3).t()}
    weights["second"] = weights["first"]
    torch.save(weights, tmp_path / "views.pth")
    arrays = read_weight_file(tmp_path / "views.pth").arrays
    assert {key: array.shape for key, array in arrays.items()} == {key: tuple(w.shape) for key, w in weights.items()}


def test_a_compressed_archive_of_zeros_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"zeros": torch.zeros(5_000_000)}, tmp_path / "zeros.pt")
    file = deflated(tmp_path / "zeros.pt", tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match=r"bomb\.pth: 0\.0 MB that would unpack to 20\.0 MB"):
        read_weight_file(file)


def test_a_compressed_archive_of_weights_is_read(tmp_path):
    torch.save(torch.load(FACEBOOK, weights_only=True), tmp_path / "plain.pth")
    file = deflated(tmp_path / "plain.pth", tmp_path / "small.pth")
    expected, checkpoint = read_checkpoint(FACEBOOK), read_checkpoint(file)
    assert all(np.array_equal(checkpoint.weights[name], array) for name, array in expected.weights.items())


def test_the_directory_of_an_archive_is_enough_for_the_check(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(3 << 20))
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, pytest.raises(CheckpointError, match="unpack"):
        check_archive_sizes(tmp_path / "a.zip", archive)


def test_values_other_than_dense_tensors_are_not_counted(tmp_path):
    others = {"number": 3, "meta": torch.empty(1 << 30, device="meta"), "sparse": torch.eye(3).to_sparse()}
    check_tensor_sizes(others, tmp_path)


def test_a_nested_tensor_is_an_error_of_one_line(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # the first nested tensor of a process is a warning
        nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    file = with_tensors(tmp_path / "nested.pth", stranger=nested)
    with pytest.raises(CheckpointError, match=r"nested\.pth has tensors that are not plain numbers \(stranger: "):
        read_weight_file(file)
