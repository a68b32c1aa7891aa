import numpy as np
import pytest

from levit.checkpoints.canonical_weights import canonical_array
from levit.checkpoints.dialects import BATCH_COUNT
from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import assemble_checkpoint
from levit.checkpoints.weight_files import StoredWeights, read_weight_file
from levit.errors import CheckpointError
from tests.conftest import GOLDEN

FILES = [
    "tiny/facebook.pth", "tiny/mmpretrain.pth", "tiny/timm/model.safetensors", "tiny/transformers/model.safetensors",
    "frameworks/vit-pytorch/levit.pt",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float16"])
def test_a_number_of_batches_of_any_type_is_int64(dtype):
    count = canonical_array(np.array(7, dtype), f"stem.{BATCH_COUNT}", "file")
    assert (count.dtype.name, count.shape, int(count)) == ("int64", (), 7)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_number_of_batches_that_is_not_whole_is_an_error(value, dtype):
    with pytest.raises(CheckpointError, match=rf"^file: stem\.{BATCH_COUNT} is not a whole number$"):
        canonical_array(np.array(value, dtype), f"stem.{BATCH_COUNT}", "file")


def assemble(file, change):
    """Checkpoint of a golden file with changed arrays, and its configuration if it has one."""
    path = GOLDEN / file
    config = read_json(path.with_name("config.json")) if path.parent.name in ("timm", "transformers") else {}
    arrays = change(read_weight_file(path).arrays)
    return assemble_checkpoint(StoredWeights(arrays=arrays, class_names=None), config, {}, "file")


@pytest.mark.parametrize("file", FILES)
def test_a_file_without_numbers_of_batches_is_complete(file):
    whole = assemble(file, dict)
    without = assemble(file, lambda arrays: {key: arrays[key] for key in arrays if not key.endswith(BATCH_COUNT)})
    assert whole.weights.keys() == without.weights.keys()
    for name, array in without.weights.items():
        expected = np.array(0) if name.endswith(BATCH_COUNT) else whole.weights[name]
        assert np.array_equal(array, expected), name


@pytest.mark.parametrize("file", FILES[:4])
def test_an_unknown_key_is_unexpected_whatever_its_type(file):
    with pytest.raises(CheckpointError, match=r"1 unexpected \(foo\.idx\)"):
        assemble(file, lambda arrays: {**arrays, "foo.idx": np.zeros(3, np.int64)})
