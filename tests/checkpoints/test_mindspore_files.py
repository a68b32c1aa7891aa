"""Files of MindSpore: equal to those that MindSpore 2.10 wrote, and errors of one line for all others."""

import subprocess
import sys
from binascii import crc32
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.checkpoints.mindspore_files import (
    MAX_CONTENT,
    _bytes_field,
    _varint,
    is_mindspore,
    read_mindspore,
    write_mindspore,
)
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.weight_selection import select_weights
from levit.checkpoints.writing import convert
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError, LevitError
from tests.conftest import GOLDEN, relative

FRAMEWORKS = GOLDEN / "frameworks"
PLAIN, TRAINED = FRAMEWORKS / "mindspore-plain.ckpt", FRAMEWORKS / "mindspore-cb.ckpt"

# Written by MindSpore 2.10: save_checkpoint([{"name": "w", "data": Tensor(np.ones(3, np.float32))}], "app.ckpt",
# append_dict={"epoch": 3, "lr": 0.1, "ok": True, "who": "x"})
WITH_TEXT = bytes.fromhex(
    "0a1e0a017712190803120746 6c6f617433321a0c0000803f0000803f0000803f"
    "0a1a0a0565706f6368121112 05496e7436341a0803000000000000000a150a02"
    "6c72120f1207466c6f617433 321a04cdcccc3d0a0f0a026f6b12091204426f6f"
    "6c1a01010a140a0377686f12 0d080012037374721a0478000000"
)

TYPES = [*map(np.dtype, ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")), ml_dtypes.bfloat16]


def written(arrays, **options) -> bytes:
    return b"".join(write_mindspore(arrays, **options))


@pytest.fixture
def save(tmp_path):
    """Function that writes bytes to a file with the suffix of MindSpore."""

    def save(content: bytes) -> Path:
        (tmp_path / "weights.ckpt").write_bytes(content)
        return tmp_path / "weights.ckpt"

    return save


@pytest.mark.parametrize("file", [PLAIN, TRAINED])
def test_a_file_that_mindspore_wrote_is_written_again_byte_by_byte(file):
    assert written(read_mindspore(file)) == file.read_bytes()


@pytest.mark.parametrize("file", [PLAIN, TRAINED])
def test_the_logits_are_those_of_the_same_weights_in_torch(file):
    checkpoint = read_checkpoint(file)
    images = np.load(GOLDEN / "tiny" / "input.npy")
    logits = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    assert relative(logits, np.load(GOLDEN / "tiny" / "expected.npz")["logits_f64"]) < 1e-10


@st.composite
def any_arrays(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Arrays of any type and content, scalars and empty ones among them, by any name."""
    arrays = {}
    for name in draw(st.lists(st.text(max_size=200), unique=True, max_size=4)):
        dtype, shape = np.dtype(draw(st.sampled_from(TYPES))), draw(st.lists(st.integers(0, 4), max_size=3))
        size = int(np.prod(shape)) * dtype.itemsize
        content = draw(st.binary(min_size=size, max_size=size))
        is_flag = dtype.kind == "b"
        arrays[name] = np.frombuffer(bytes(byte & 1 for byte in content) if is_flag else content, dtype).reshape(shape)
    return arrays


@given(arrays=any_arrays(), max_content=st.integers(1, 60))
@settings(max_examples=50)
def test_arrays_of_all_types_are_read_as_they_were_written(tmp_path_factory, arrays, max_content):
    file = tmp_path_factory.getbasetemp() / "any.ckpt"
    file.write_bytes(written(arrays, max_content=max_content))
    read = read_mindspore(file)
    assert list(read) == list(arrays)
    for tag, array in arrays.items():
        assert (read[tag].dtype, read[tag].shape) == (array.dtype, array.shape)
        assert read[tag].tobytes() == array.tobytes()
        assert read[tag].flags.aligned


def test_scalars_have_no_dims_or_one_of_zero(save):
    content = written({"s": np.array(2.5, np.float32)})
    assert read_mindspore(save(content))["s"].shape == ()
    with_zero = content.replace(b"\x12\x07Float32", b"\x08\x00\x12\x07Float32").replace(b"\x12\x0f", b"\x12\x11")
    scalar = read_mindspore(save(bytes([content[0], content[1] + 2]) + with_zero[2:]))["s"]
    assert (scalar.shape, float(scalar)) == ((), 2.5)


def test_text_beside_the_tensors_is_skipped(save):
    assert list(read_mindspore(save(WITH_TEXT))) == ["w", "epoch", "lr", "ok"]


def test_a_crc_is_verified(save):
    content = written({"w": np.ones(3, np.float32)})
    trailer = b"crc_num" + crc32(content).to_bytes(10, "big")
    assert read_mindspore(save(content + trailer))["w"].tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match=r"weights\.ckpt: its CRC-32 does not match: it is damaged"):
        read_mindspore(save(content[:-1] + b"\x00" + trailer))


@pytest.mark.parametrize("start", ["d85e3a7f", "d95e3a7f", "da5e3a7f"])
def test_an_encrypted_file_is_an_error_that_says_so(save, start):
    file = save(bytes.fromhex(start) + bytes(60))
    assert is_mindspore(file)
    with pytest.raises(CheckpointError, match=r"weights\.ckpt: encrypted by MindSpore: load it in MindSpore"):
        read_checkpoint(file)


@pytest.mark.parametrize("size", [1, 2, 100, 5_000, 648_233])
def test_a_truncated_file_is_an_error(save, size):
    with pytest.raises(CheckpointError, match=r"not a MindSpore file, or truncated|incomplete|not the keys|do not fit"):
        read_checkpoint(save(PLAIN.read_bytes()[:size]))


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        ("080312 07466c6f617433321a04000000001a", "not a MindSpore file, or truncated"),
        ("0803120746 6c6f617433321a0400000000", r"w has 4 bytes, which are not those of \[3\] Float32"),
        ("08ffffffffffffffff7f12 07466c6f617433321a0400000000", r"are not those of \[9223372036854775807\] Float32"),
        ("08ffffffffffffffffff01 1207466c6f617433321a0400000000", "are not those of"),
        ("080008ffffffffffffffff7f 1207466c6f617433321a00", r"are not those of \[0, 9223372036854775807\] Float32"),
        ("080112 0451496e741a0100", "w has the data type 'QInt', which NumPy does not support"),
        ("080112 04ff496e741a0100", "not a MindSpore file, or truncated"),
    ],
    ids=["truncated", "over-long", "huge", "negative", "empty and huge", "unknown type", "no text"],
)
def test_a_damaged_tensor_is_an_error_before_anything_is_made(save, tensor, match):
    content = bytes.fromhex(tensor)
    value = b"\x0a\x01w\x12" + bytes([len(content)]) + content
    with pytest.raises(CheckpointError, match=match) as caught:
        read_mindspore(save(b"\x0a" + bytes([len(value)]) + value))
    assert "\n" not in str(caught.value)


def test_a_map_parameter_is_an_error(save):
    value = b"\x0a\x01w\x1a\x00"
    with pytest.raises(CheckpointError, match="not a MindSpore file, or truncated"):
        read_mindspore(save(b"\x0a" + bytes([len(value)]) + value))


@given(data=st.data())
@settings(max_examples=50)
def test_a_mutated_file_is_read_or_an_error(tmp_path_factory, data):
    content = bytearray(PLAIN.read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(1, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "mutated.ckpt"
    file.write_bytes(content)
    with suppress(LevitError):
        assert sum(array.nbytes for array in read_mindspore(file).values()) <= len(content)


def test_a_file_of_torch_with_the_same_suffix_is_not_one_of_mindspore(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(3)}, tmp_path / "new.ckpt")
    torch.save({"w": torch.ones(3)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert not is_mindspore(tmp_path / "new.ckpt")
    assert not is_mindspore(tmp_path / "old.ckpt")
    assert is_mindspore(PLAIN)


def test_tensors_are_split_at_the_size_of_mindspore():
    assert MAX_CONTENT == 512 * 1024 * 1024
    assert written({"w": np.arange(5, dtype=np.int8)}, max_content=2).count(b"w") == 3


TRAINING = {
    "_ema_weights.head.bn1d.gamma": 20,
    "adam_m.head.bn1d.gamma": 30,
    "adam_v.head.bn1d.gamma": 40,
    "moment1.head.bn1d.gamma": 50,
    "accum.head.bn1d.gamma": 60,
    "global_step": 70,
    "learning_rate": 80,
    "beta1_power": 90,
}


def test_what_training_adds_is_skipped():
    weights = {"head.bn1d.gamma": 1, "head.bn1d.moving_mean": 2}
    assert select_weights(weights | TRAINING, "file") == weights
    assert select_weights(weights | TRAINING, "file", use_ema=True) == weights | {"head.bn1d.gamma": 20}
    with pytest.raises(CheckpointError, match="no moving average"):
        select_weights(weights, "file", use_ema=True)


def test_a_moving_average_is_converted_with_the_statistics_of_the_weights(tmp_path):
    arrays = read_mindspore(PLAIN)
    is_trained = [name for name in arrays if "moving_" not in name and "idxs" not in name]
    average = {f"_ema_weights.{name}": 2 * arrays[name] for name in is_trained}
    (tmp_path / "trained.ckpt").write_bytes(written(arrays | average))
    weights, averaged = (read_checkpoint(tmp_path / "trained.ckpt", use_ema=use_ema).weights for use_ema in (0, 1))
    assert np.array_equal(averaged["classifier.linear.bias"], 2 * weights["classifier.linear.bias"])
    name = "classifier.batch_norm.running_mean"
    assert np.array_equal(averaged[name], weights[name])


def test_safetensors_of_mindspore_are_read(tmp_path):
    file = convert(PLAIN, tmp_path / "out.safetensors", to="mindspore")
    checkpoint = read_checkpoint(file)
    assert checkpoint.source.dialect == "mindspore"
    assert np.array_equal(
        checkpoint.weights["classifier.linear.bias"], read_checkpoint(PLAIN).weights["classifier.linear.bias"]
    )


def test_another_suffix_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"mindspore stores its weights in one file: .* ends in \.ckpt"):
        convert(PLAIN, tmp_path / "out.pth", to="mindspore")


def test_neither_reading_nor_writing_needs_torch(tmp_path):
    program = f"""
import sys
sys.modules["torch"] = None
import levit
levit.convert({str(PLAIN)!r}, {str(tmp_path / "out.ckpt")!r}, to="mindspore")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert read_mindspore(tmp_path / "out.ckpt").keys() == {
        name for name in read_mindspore(TRAINED) if "." in name and not name.startswith("moment1")
    }


@pytest.mark.parametrize(("dims", "size"), [([1] * 65, 4), ([0, 2**40, 2**40], 0)])
def test_a_shape_that_numpy_cannot_have_is_an_error(save, dims, size):
    tensor = b"".join(b"\x08" + _varint(dim) for dim in dims) + _bytes_field(2, b"Float32")
    value = _bytes_field(1, b"w") + _bytes_field(2, tensor + _bytes_field(3, bytes(size)))
    with pytest.raises(CheckpointError, match=r"weights\.ckpt: w has a shape that NumPy cannot have \("):
        read_mindspore(save(_bytes_field(1, value)))
