import json
from itertools import permutations

import numpy as np
import pytest
import torch

from levit.checkpoints.dialects import WRITABLE
from levit.checkpoints.reading import read_checkpoint
from tests.cli.console import start
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"
NAMES = [dialect.name for dialect in WRITABLE if dialect.counts_batches]


def target(folder, dialect):
    return folder / (f"{dialect}.pth" if dialect.startswith(("facebook", "mmpretrain")) else dialect)


@pytest.mark.parametrize(("dialect", "golden"), [("mindspore", "cb"), ("mindspore-plain", "plain")])
def test_a_file_of_mindspore_is_described_converted_and_written_back(console, tmp_path, dialect, golden):
    source = GOLDEN / "frameworks" / f"mindspore-{golden}.ckpt"
    assert f"{source.name} ({dialect})" in console("info", source).out
    assert console("convert", source, tmp_path / "levit", "--to", "transformers").code == 0
    assert console("convert", tmp_path / "levit", tmp_path / "back.ckpt", "--to", dialect).code == 0
    written, original = (tmp_path / "back.ckpt").read_bytes(), source.read_bytes()
    assert original.startswith(written)  # what training adds is at the end of the file
    assert golden == "cb" or written == original


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, marks=pytest.mark.slow if number % 5 else ())
        for number, pair in enumerate(permutations(NAMES, 2))
    ],
)
def test_converting_between_every_two_dialects_and_back_is_exact(console, tmp_path, first, second):
    intermediate, result_path = target(tmp_path, second), target(tmp_path, first)
    result = console("convert", target(TINY, first), intermediate, "--to", second)
    assert (result.code, result.out) == (0, f"{intermediate}\n")
    result = console("convert", intermediate, result_path, "--to", first)
    assert (result.code, result.out) == (0, f"{result_path}\n")
    expected, converted = read_checkpoint(target(TINY, first)), read_checkpoint(result_path)
    assert converted.source.dialect == first
    assert converted.weights.keys() == expected.weights.keys()
    assert all(np.array_equal(array, expected.weights[name]) for name, array in converted.weights.items())


def test_json_contains_path_and_dialect(console, tmp_path):
    result = console("convert", TINY / "transformers", tmp_path / "out", "--to", "timm", "--json")
    assert json.loads(result.out) == {"path": str(tmp_path / "out"), "dialect": "timm"}


def test_activation_and_image_size_can_be_given(console, tmp_path):
    options = ("--activation", "silu", "--image-size", "110x105")
    assert console("convert", TINY / "facebook.pth", tmp_path / "out", "--to", "timm", *options).code == 0
    architecture = read_checkpoint(tmp_path / "out").architecture
    assert (architecture.activation, architecture.image_height_width) == ("silu", (110, 105))
    assert type(architecture.activation) is str
    assert console("convert", TINY / "facebook.pth", tmp_path / "x", "--to", "timm", "--image-size", "110").code == 0
    assert read_checkpoint(tmp_path / "x").architecture.image_height_width == (110, 110)


def test_an_invalid_image_size_is_a_usage_error(console, tmp_path):
    result = console("convert", TINY / "facebook.pth", tmp_path / "out", "--to", "timm", "--image-size", "110x")
    assert (result.code, result.out) == (2, "")
    assert "--image-size" in result.err
    assert not list(tmp_path.iterdir())


def test_use_ema_converts_the_moving_average(console, tmp_path):
    model = torch.load(TINY / "facebook.pth", weights_only=True)["model"]
    average = {key: tensor * 2 if tensor.is_floating_point() else tensor for key, tensor in model.items()}
    torch.save({"model": model, "model_ema": average}, tmp_path / "checkpoint.pth")
    name = "classifier.linear.weight"
    for options, factor in (((), 1), (("--use-ema",), 2)):
        assert console("convert", tmp_path / "checkpoint.pth", tmp_path / "out", "--to", "timm", *options).code == 0
        assert np.array_equal(read_checkpoint(tmp_path / "out").weights[name], factor * model["head.l.weight"])


def test_changed_preprocessing_is_one_line_on_standard_error(console, tmp_path):
    result = console("convert", TINY / "timm", tmp_path / "out.pth", "--to", "facebook")
    assert (result.code, result.out) == (0, f"{tmp_path / 'out.pth'}\n")
    assert result.err.startswith(f"levit: {tmp_path / 'out.pth'}: these files cannot contain the preprocessing")
    assert "resize 124 becomes 128" in result.err
    assert result.err.count("\n") == 1
    process = start("convert", TINY / "timm", tmp_path / "out.pth", "--to", "facebook")
    assert (process.returncode, process.stderr.decode()) == (0, result.err)


@pytest.mark.parametrize("command", ["convert", "export", "info", "predict"])
def test_a_revision_of_a_local_folder_is_an_error(console, tmp_path, command):
    folder = TINY / "transformers"
    arguments = {
        "convert": (folder, tmp_path / "out", "--to", "timm"),
        "export": (folder, tmp_path / "out.onnx"),
        "info": (folder,),
        "predict": ("photo.jpg", "--model", folder),
    }
    result = console(command, *arguments[command], "--revision", "v1")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"levit: {folder}: a local file or folder has no revision 'v1': "
        "give a model ID on the Hugging Face Hub, or no revision\n"
    )
    assert not list(tmp_path.iterdir())


def damaged(folder):
    """Write damaged weight files to a folder; their names."""
    whole = (TINY / "facebook.pth").read_bytes()
    contents = {
        "half.pth": whole[: len(whole) // 2],
        "start.pth": whole[:100],
        "empty.pth": b"",
        "text.pth": b"These are no weights.\n",
        "page.pth": b"<!DOCTYPE html><html><body>404</body></html>",
        "magic.pth": b"\0\1\2\3" + whole[4:],
        "noise.pth": np.random.default_rng(0).bytes(5000),
        "other.pth": (TINY / "timm" / "model.safetensors").read_bytes(),
        "other.safetensors": whole,
        "half.safetensors": (TINY / "timm" / "model.safetensors").read_bytes()[:5000],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return list(contents)


def test_a_damaged_file_is_an_error_of_one_line(console, tmp_path):
    names = damaged(tmp_path)
    before = sorted(tmp_path.iterdir())
    for name in names:
        result = console("convert", tmp_path / name, tmp_path / "out", "--to", "timm")
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), name
        assert result.err.startswith(f"levit: {tmp_path / name}: not a"), result.err
        assert "download it again" in result.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "to", "reason"),
    [
        ("folder", "facebook", "facebook stores its weights in one file: give a name that ends in .pth"),
        ("new", "mmpretrain", "mmpretrain stores its weights in one file: give a name that ends in .pth"),
        ("new.pth", "transformers", "transformers stores its configuration next to the weights: give a folder"),
    ],
)
def test_the_hint_for_a_target_of_the_wrong_kind_states_the_right_kind(console, tmp_path, name, to, reason):
    (tmp_path / "folder").mkdir()
    result = console("convert", TINY / "timm", tmp_path / name, "--to", to)
    assert (result.code, result.out, result.err) == (2, "", f"levit: {tmp_path / name}: {reason}\n")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
