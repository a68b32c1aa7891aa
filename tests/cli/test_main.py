"""The command line as a whole: commands, help, version, exit codes."""

import io
import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

import levit
from levit.cli import app, main
from tests.cli.console import start
from tests.conftest import EXAMPLES
from tests.runtime.native_library import _library, native_library  # noqa: F401  # fixtures

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)
LARGE_PACKAGES = {
    "cv2", "numpy", "onnx", "openvino", "PIL", "torch", "transformers", "safetensors", "ml_dtypes", "google",
}  # fmt: skip

# Prints the exit code of main() and the imported large packages on the last line.
LIST_IMPORTS = """
import os, sys
from levit.cli import main
try:
    main()
except SystemExit as error:
    print()
    print(error.code, *sorted(set(os.environ["PACKAGES"].split()) & set(sys.modules)))
"""


def exit_code_and_imports(*arguments: str, packages: Iterable[str] = LARGE_PACKAGES) -> list[str]:
    command = [sys.executable, "-c", LIST_IMPORTS, *arguments]
    environment = os.environ | {"PACKAGES": " ".join(packages)}
    process = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True
    )
    return process.stdout.splitlines()[-1].split()


def test_the_names_of_the_commands():
    assert COMMANDS == [
        "benchmark", "calibrate", "convert", "data", "embed", "evaluate", "explain", "export", "info", "models",
        "predict", "serve", "similar", "sparsify", "split", "train", "val", "video",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)], ids=" ".join)
def test_help_imports_no_large_package(command):
    assert exit_code_and_imports(*command, "--help") == ["0"]


def test_imports_of_large_packages_are_detected(model):
    assert {"numpy", "safetensors"} <= set(exit_code_and_imports("info", str(model)))


@pytest.mark.usefixtures("native_library")
def test_json_of_one_photo_needs_neither_numpy_nor_tables(monkeypatch, tmp_path):
    monkeypatch.setenv("LEVIT_CACHE", str(tmp_path))
    table = ("predict", str(EXAMPLES / "cat.jpg"), "--engine", "native")
    packages = LARGE_PACKAGES | {"rich", "csv"}
    exit_code_and_imports(*table)  # packs the weights
    assert exit_code_and_imports(*table, "--json", packages=packages) == ["0", "PIL"]
    assert exit_code_and_imports(*table, packages=packages) == ["0", "PIL", "rich"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(console, command):
    long, short = console(command, "--help"), console(command, "-h")
    assert long == short
    assert (long.code, long.err) == (0, "")
    assert f"levit {command}" in long.out
    assert "--json" in long.out


def test_the_help_lists_the_commands(console):
    result = console("--help")
    assert result.code == 0
    assert all(command in result.out for command in COMMANDS)


def test_the_help_is_shown_without_a_command(console):
    result = console()
    assert result.code == 2
    assert all(command in result.out + result.err for command in COMMANDS)


def test_an_unknown_command_is_wrong_usage(console):
    result = console("fly")
    assert (result.code, result.out) == (2, "")
    assert "fly" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "no such command 'fly': see levit --help"),
        (["predict"], "missing argument 'PATH...': see levit predict --help"),
        (["predict", "a.jpg", "--speed", "9"], "no such option: --speed: see levit predict --help"),
        (["predict", "a.jpg", "-k"], "option '-k' requires an argument"),
        (["embed", "a.jpg"], "missing option '--out' / '-o': see levit embed --help"),
        (["predict", "a\n.jpg", "--json", "--csv"], "--json and --csv exclude each other: give one of them"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(console, arguments, message):
    result = console(*arguments)
    assert (result.code, result.out, result.err) == (2, "", f"levit: {message}\n")


def test_a_value_of_another_kind_is_one_line(console):
    for arguments in (["-k", "0"], ["-k", "many"], ["--precision", "fp7"]):
        result = console("predict", "a.jpg", *arguments)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.startswith("levit: invalid value for '--")
        assert "Value error" not in result.err


def test_val_is_evaluate(console):
    assert console("val", "missing.onnx", "missing").err == console("evaluate", "missing.onnx", "missing").err


@pytest.mark.skipif(os.name == "nt", reason="completion of a POSIX shell")
def test_shells_complete_the_names_of_commands():
    environment = os.environ | {"_LEVIT_COMPLETE": "complete_bash", "COMP_WORDS": "levit pre", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[0] = 'levit'; from levit.cli import run; run()"
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["predict"]


def test_the_version_is_printed(console):
    result = console("--version")
    assert (result.code, result.out, result.err) == (0, f"levit {levit.__version__}\n", "")
    process = start("--version")
    assert (process.returncode, process.stdout.decode().strip()) == (0, f"levit {levit.__version__}")


def test_files_and_pipes_have_the_encoding_of_file_names(monkeypatch):
    """On Windows, Python gives them that of the system's language."""
    output = io.BytesIO()
    monkeypatch.setattr("sys.argv", ["levit", "--version"])
    for variable, encoding in ((None, sys.getfilesystemencoding()), ("cp1252", "cp1252")):
        monkeypatch.delenv("PYTHONIOENCODING", raising=False)
        if variable is not None:
            monkeypatch.setenv("PYTHONIOENCODING", variable)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("größe.jpg\n".encode()), encoding="cp1252"))
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, encoding="cp1252"))
        with pytest.raises(SystemExit):
            main()
        assert (sys.stdin.encoding, sys.stdout.encoding) == (encoding, encoding)
        assert (sys.stdin.read() == "größe.jpg\n") == (variable is None)


def test_warnings_of_libraries_are_not_shown(photos, model):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0"  # truncated: Pillow warns and continues
    from PIL import Image

    Image.new("RGB", (40, 30)).save("cut.jpg", exif=exif)
    process = start("predict", "cut.jpg", "--model", model, "--json")
    assert (process.returncode, process.stderr) == (0, b"")
