"""Files of Flax: one that Flax 0.12 wrote, any arrays there and back, and errors of one line."""

from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.checkpoints.flax_files import read_flax, write_flax
from levit.errors import CheckpointError, LevitError
from tests.conftest import GOLDEN

FILE = GOLDEN / "frameworks" / "flax" / "levit.msgpack"


@pytest.fixture
def save(tmp_path):
    """Function that writes bytes to a file with the suffix of Flax."""

    def save(content: bytes) -> Path:
        (tmp_path / "weights.msgpack").write_bytes(content)
        return tmp_path / "weights.msgpack"

    return save


def test_a_file_that_flax_wrote_is_written_again_byte_by_byte():
    assert write_flax(read_flax(FILE)) == FILE.read_bytes()


@pytest.mark.parametrize("dtype", ["?", "i1", "i8", "u4", "f2", "f4", "f8", ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (0,), (300,), (2, 3, 70_000)])
def test_arrays_are_read_as_they_were_written(save, dtype, shape):
    if len(shape) == 3 and dtype != "f4":
        shape = (2, 1, 40)
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    read = read_flax(save(write_flax({"params/a/b": array, "params/" + "c" * 300: array})))
    for key in ("params/a/b", "params/" + "c" * 300):
        assert (read[key].dtype, read[key].shape) == (array.dtype, array.shape)
        assert read[key].tobytes() == array.tobytes()


def test_a_training_state_is_read_without_its_other_entries(save):
    state = {"params/w": np.ones(2), "batch_stats/m": np.ones(3), "opt_state/0/mu/w": np.ones(2), "step": np.array(7)}
    assert list(read_flax(save(write_flax(state)))) == ["params/w", "batch_stats/m"]


def test_an_array_of_several_parts_is_joined(save):
    name = "__msgpack_chunked_array__"
    parts = {f"params/w/chunks/{index}": np.arange(3.0) + 3 * index for index in range(2)}
    sizes = {"params/w/shape/0": 2, "params/w/shape/1": 3}
    content = write_flax(parts | sizes | {f"params/w/{name}": 1})
    assert read_flax(save(content))["params/w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x81",
        b"\x81\xa1a",
        b"\x91\x01",
        b"\x80\x00",
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc7\x0b\x01\x93\x91\x02\xa4int9\xc4\x02\x01\x02",
        b"\x81\xa1a\xc7\x0b\x01\x93\x91\x03\xa4int8\xc4\x02\x01\x02",
        b"\x81\xa1a" + 3000 * b"\x81\xa1a",
        b"\x81\xa1a" + 3000 * b"\xc9\x7f\xff\xff\xff\x01",
    ],
)
def test_damaged_content_is_an_error_of_one_line(save, content):
    with pytest.raises(CheckpointError, match=r"weights\.msgpack: not a Flax file, or truncated: download it again"):
        read_flax(save(content))


def test_a_truncated_file_is_an_error(save):
    with pytest.raises(CheckpointError, match="not a Flax file, or truncated"):
        read_flax(save(FILE.read_bytes()[:-1]))


@given(data=st.data())
@settings(max_examples=50)
def test_a_mutated_file_is_read_or_an_error(tmp_path_factory, data):
    content = bytearray(write_flax({"params/a": np.ones((2, 3)), "batch_stats/b/c": np.ones(4, np.int8)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "mutated.msgpack"
    file.write_bytes(content)
    with suppress(LevitError):
        assert sum(array.nbytes for array in read_flax(file).values()) <= len(content)
