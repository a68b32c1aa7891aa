"""`--quiet`: results and errors only."""

import pytest


@pytest.mark.parametrize("position", [0, 1, 5])
def test_quiet_is_accepted_before_and_after_the_command(console, model, tmp_path, position):
    arguments = ["convert", model, tmp_path / "a.pth", "--to", "facebook"]
    arguments.insert(position, "--quiet")
    result = console(*arguments)
    assert (result.code, result.err) == (0, "")  # without a warning about the names of the classes
    assert result.out == f"{tmp_path / 'a.pth'}\n"


def test_quiet_suppresses_the_line_of_verbose(console, model, photos):
    shown = console("predict", "a.png", "--model", model, "--json", "--verbose")
    quiet = console("predict", "a.png", "--model", model, "--json", "--verbose", "--quiet")
    assert shown.err.startswith("levit: fruit: ")
    assert (quiet.err, quiet.out) == ("", shown.out)


def test_quiet_shows_errors(console, tmp_path):
    result = console("--quiet", "export", tmp_path / "missing", tmp_path / "x.onnx", "--image-size", "0x0")
    assert result.code == 2
    assert "--image-size" in result.err
    result = console("--quiet", "info", tmp_path / "missing")
    assert result.err.startswith(f"levit: {tmp_path / 'missing'}: no such file")


def test_quiet_names_parameters_by_the_flags_of_the_command(console, model, tmp_path):
    result = console("--quiet", "export", model, tmp_path / "x.onnx", "--max-drop", "1")
    assert result.err.startswith(
        "levit: --quantization-data, --quantization-images, --evaluation, --max-drop and --class-map do not"
    )


def test_a_file_called_quiet_is_classified_behind_two_dashes(console, model, photos):
    (photos / "a.png").rename(photos / "--quiet")
    assert console("predict", "--model", model, "--json", "--", "--quiet").code == 0


def test_a_command_is_not_quiet_after_a_quiet_one(console, model, tmp_path):
    console("--quiet", "info", model)
    assert "cannot contain" in console("convert", model, tmp_path / "a.pth", "--to", "facebook").err
