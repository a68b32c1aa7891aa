"""`--debug` and `LEVIT_DEBUG`: the traceback of an error above its line."""

import pytest

TRACEBACK = "Traceback (most recent call last):"


@pytest.mark.parametrize("arguments", [("--debug", "info", "missing"), ("info", "missing", "--debug")])
def test_debug_prints_the_traceback_above_the_error(console, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = console(*arguments)
    lines = result.err.splitlines()
    assert (result.code, result.out, lines[0]) == (2, "", TRACEBACK)
    assert lines[-1].startswith("levit: missing: no such file")


@pytest.mark.parametrize(("value", "is_shown"), [("1", True), ("0", False), ("", False)])
def test_the_environment_variable_prints_the_traceback(console, tmp_path, monkeypatch, value, is_shown):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVIT_DEBUG", value)
    assert (TRACEBACK in console("info", "missing").err) == is_shown


def test_debug_shows_the_traceback_of_errors_of_the_system(console, model, tmp_path):
    (tmp_path / "file").touch()
    shown = console("--debug", "export", model, tmp_path / "file" / "model.onnx")
    assert TRACEBACK in shown.err
    hidden = console("export", model, tmp_path / "file" / "model.onnx")
    assert hidden.err == shown.err.splitlines()[-1] + "\n"


def test_without_debug_an_error_is_one_line(console, tmp_path):
    result = console("info", tmp_path / "missing")
    assert result.err.count("\n") == 1
