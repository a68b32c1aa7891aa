"""`levit split` divides a folder of images, and prints what it wrote."""

import json

import pytest
from PIL import Image


@pytest.fixture
def pets(tmp_path):
    for number in range(10):
        for name in ("cat", "dog"):
            file = tmp_path / "pets" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + number, 20), "red" if name == "cat" else "blue").save(file)
    return tmp_path / "pets"


def test_the_numbers_and_the_next_command_are_printed(console, pets, tmp_path):
    result = console("split", pets, "-o", tmp_path / "out", "--no-similar", "--test", "0.3")
    assert (result.code, result.err) == (0, "")
    words = " ".join(result.out.split())  # without the line breaks after a long path
    assert f"written {tmp_path / 'out'}: 12 train, 2 val, 6 test" in words
    assert words.endswith(f"then levit train {tmp_path / 'out'}")
    assert (tmp_path / "out" / "split.csv").exists()


def test_a_folder_with_a_space_is_quoted_in_the_next_command(console, pets, tmp_path):
    result = console("split", pets, "-o", tmp_path / "my out", "--no-similar")
    assert " ".join(result.out.split()).endswith(f"then levit train '{tmp_path / 'my out'}'")


def test_json_is_one_object(console, pets, tmp_path):
    result = console("split", pets, "--out", tmp_path / "out", "--no-similar", "--val", "0", "--json")
    assert json.loads(result.out) == {
        "folder": str(tmp_path / "out"), "list": str(tmp_path / "out" / "split.csv"), "classes": 2,
        "images": {"train": 16, "test": 4}, "copies": 0, "similar": 0, "missing_classes": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "1.5"], "--test is 1.5: give a fraction from 0 to less than 1"),
        (["--similarity", "2"], "--similarity is 2.0: give a number above 0, and at most 1"),
        (["--similarity", "0.9", "--no-similar"], "--similarity and --no-similar exclude each other"),
        (["--test", "0.6", "--val", "0.4"], "--test and --val leave no image for training"),
        (["--val-files", "missing.txt"], "missing.txt cannot be read (No such file or directory)"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_wrong_options_are_one_line(console, pets, tmp_path, options, message):
    result = console("split", pets, "--out", tmp_path / "out", *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not (tmp_path / "out").exists()
