"""Former names of options."""

import json


def test_former_names_of_options_of_export_are_accepted_with_a_warning(console, model, tmp_path):
    present = console("export", model, tmp_path / "a.onnx", "--weights", "fp16", "--image-size", "96x64", "--json")
    former = console("export", model, tmp_path / "b.onnx", "--precision", "fp16", "--size", "96x64", "--json")
    assert (present.code, present.err, former.code) == (0, "", 0)
    assert former.err == (
        "levit: --precision is now --weights: the former name is deprecated\n"
        "levit: --size is now --image-size: the former name is deprecated\n"
    )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert json.loads(former.out)["precision"] == "fp16"


def test_images_for_int8_are_no_longer_called_calibration(console, model, tmp_path):
    result = console("export", model, tmp_path / "a.onnx", "--calibration", tmp_path, "--calibration-images", "5")
    assert result.code == 2
    assert result.err.splitlines()[:2] == [
        "levit: --calibration is now --quantization-data: the former name is deprecated",
        "levit: --calibration-images is now --quantization-images: the former name is deprecated",
    ]


def test_former_names_of_options_of_calibrate_are_accepted_with_a_warning(console, model, tmp_path):
    result = console("calibrate", model, tmp_path, "--precision", "0.9")
    assert result.code == 2
    assert result.err.startswith("levit: --precision is now --target-precision: the former name is deprecated\n")


def test_former_names_are_not_shown_in_the_help(console):
    text = console("export", "--help").out
    assert "--image-size" in text
    assert "--weights" in text
    assert "--precision" not in text
    assert "--size " not in text


def test_options_of_other_commands_keep_their_names(console, model, photos):
    result = console("predict", photos / "a.png", "--model", model, "--precision", "fp32", "--json")
    assert (result.code, result.err) == (0, "")
