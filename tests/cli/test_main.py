import subprocess
import sys

import pytest

import levit
from levit.cli import app
from tests.cli.console import start

COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)
HEAVY = {"numpy", "onnx", "openvino", "PIL", "torch", "transformers", "safetensors", "ml_dtypes", "google"}

# Prints what main() has loaded, below what it printed itself.
SPY = f"""
import sys
from levit.cli import main
try:
    main()
except SystemExit as ended:
    print()
    print(ended.code, *sorted({HEAVY!r} & set(sys.modules)))
"""


def run_spied(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", SPY, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True).stdout
    return output.splitlines()[-1].split()


def test_the_commands_are_these():
    assert COMMANDS == ["benchmark", "calibrate", "convert", "data", "evaluate", "export", "info", "predict", "train"]


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(command):
    assert run_spied(*command, "--help") == ["0"]


def test_the_spy_sees_what_is_loaded(model):
    assert {"numpy", "safetensors"} <= set(run_spied("info", str(model)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(console, command):
    long, short = console(command, "--help"), console(command, "-h")
    assert long == short
    assert (long.code, long.err) == (0, "")
    assert f"levit {command}" in long.out
    assert "--json" in long.out


def test_the_program_explains_its_commands(console):
    answer = console("--help")
    assert answer.code == 0
    assert all(command in answer.out for command in COMMANDS)


def test_without_a_command_the_help_is_shown_as_wrong_usage(console):
    answer = console()
    assert answer.code == 2
    assert all(command in answer.out + answer.err for command in COMMANDS)


def test_an_unknown_command_is_wrong_usage(console):
    answer = console("fly")
    assert (answer.code, answer.out) == (2, "")
    assert "fly" in answer.err


def test_the_version_is_told(console):
    answer = console("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"levit {levit.__version__}\n", "")
    found = start("--version")
    assert (found.returncode, found.stdout.decode().strip()) == (0, f"levit {levit.__version__}")


def test_warnings_of_libraries_are_not_shown(photos, model):
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0"  # cut short: Pillow warns of it and reads on
    from PIL import Image

    Image.new("RGB", (40, 30)).save("cut.jpg", exif=exif)
    found = start("predict", "cut.jpg", "--model", model, "--json")
    assert (found.returncode, found.stderr) == (0, b"")
