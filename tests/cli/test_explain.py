"""`levit explain`."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.conftest import EXAMPLES, ROOT
from tests.processes import output_of


def test_the_map_is_printed_as_characters(console, model, photos):
    result = console("explain", "a.png", "--model", model, "--class", "fig", "--engine", "onnxruntime")
    assert (result.code, result.err) == (0, "")
    title, *rows = result.out.splitlines()
    assert title.startswith("a.png: fig ")
    assert title.endswith("% (occlusion)")
    assert {len(row) for row in rows} == {32}
    assert len(rows) == 16


def test_the_picture_and_json(console, model, photos):
    options = ("--model", model, "--engine", "onnxruntime", "--json", "--out", "heat.png")
    result = console("explain", "b.jpg", "--class", "2", *options)
    assert (result.code, result.err) == (0, "")
    values = json.loads(result.out)
    assert values["label"]["name"] == "plum"
    assert (values["file"], values["method"], values["out"]) == ("b.jpg", "occlusion", "heat.png")
    assert (values["width"], values["height"]) == (50, 40)
    assert np.shape(values["values"]) == (16, 16)
    with Image.open("heat.png") as picture:
        assert picture.width == 50


@pytest.mark.parametrize("method", ["cam", "rise", "gradient-attention", "rollout"])
def test_the_other_methods(console, model, photos, method):
    options = ("--model", model, "--method", method, "--engine", "onnxruntime")
    options += ("--masks", "20") if method == "rise" else ()
    result = console("explain", "a.png", *options, "--out", "heat.npy")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1] == "written to heat.npy"
    assert np.load("heat.npy").shape == (40, 50)


def test_the_seed_chooses_the_random_masks(console, model, photos):
    options = ("--model", model, "--method", "rise", "--masks", "8", "--engine", "onnxruntime", "--json")
    maps = [json.loads(console("explain", "a.png", *options, "--seed", seed).out)["values"] for seed in (0, 1, 1)]
    assert maps[0] != maps[1] == maps[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg: no such file"),
        (["notes.txt"], "notes.txt: not an image"),
        (["a.png", "--class", "kiwi"], "unknown class 'kiwi'"),
        (["a.png", "--class", "99"], "--class is 99, and the model has 5 classes: indices are 0 to 4"),
        (["a.png", "--masks", "8"], "--masks and --seed are options of --method rise: leave them out"),
        (["a.png", "--method", "cam", "--seed", "1"], "--masks and --seed are options of --method rise"),
        (["a.png", "--out", "./a.png"], "--out is the image itself: give the map another name"),
        (["a.png", "--out", "heat.txt"], "heat.txt has the suffix '.txt': use .png"),
        (["a.png", "--method", "magic"], "invalid value for '--method'"),
        (["a.png", "--out", "nowhere/heat.png"], "nowhere/heat.png cannot be written (No such file or directory)"),
        (["missing.jpg", "--out", "no/heat.png"], "no/heat.png cannot be written"),  # before the image is read
    ],
    ids=" ".join,
)
def test_errors_are_one_line(console, model, photos, arguments, message):
    result = console("explain", *arguments, "--model", model, "--engine", "onnxruntime")
    assert result.code in (1, 2)
    assert result.out == ""
    assert result.err.startswith(f"levit: {message}")
    assert result.err.count("\n") == 1


def test_an_exported_file_has_no_attention_to_differentiate(console, photos):
    model = ROOT / "src" / "levit" / "runtime" / "embedded" / "default.onnx"
    result = console("explain", "a.png", "--model", model, "--method", "rollout")
    assert result.code == 2
    assert "give the checkpoint, or use --method occlusion" in result.err


def test_the_command_does_not_import_torch():
    code = f"""
import sys
from levit.cli import main
sys.argv = ["levit", "explain", {str(EXAMPLES / "espresso.jpg")!r}, "--method", "cam", "--threads", "1"]
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    assert "espresso" in output_of(code)
