"""The end of a process: closed streams, and functions that run at exit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_shell = pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")


def run_shell(arguments: str, redirections: str) -> subprocess.CompletedProcess:
    command = f'"{sys.executable}" -m levit {arguments} {redirections}'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, shell=True, capture_output=True, timeout=120, check=False, env=environment)


@needs_shell
@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["predict a.png --json", "predict a.png --csv", "predict a.png", "info --json"])
def test_output_to_a_closed_stream_is_dropped(photos, model, arguments, streams):
    command, *rest = arguments.split(maxsplit=1)
    option = f'--model "{model}"' if command == "predict" else f'"{model}"'
    process = run_shell(f"{command} {option} {' '.join(rest)}", streams)
    assert (process.returncode, process.stderr) == (0, b"")


@needs_shell
def test_an_error_with_closed_streams_keeps_its_exit_code(photos):
    assert run_shell("info missing", ">&- 2>&-").returncode == 2


@needs_shell
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize(
    "command", ["predict a.png --json --model {}", "info --json {}", "predict --help", "--version"]
)
def test_a_full_disk_is_an_error_of_one_line(photos, model, command):
    process = run_shell(command.format(f'"{model}"'), "> /dev/full")
    assert (process.returncode, process.stderr) == (2, b"levit: No space left on device\n")


@needs_shell
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize(("command", "code"), [("predict a.png -v --model {}", 0), ("info missing", 2), ("predict", 2)])
def test_messages_that_cannot_be_written_do_not_change_the_exit_code(photos, model, command, code):
    assert run_shell(command.format(f'"{model}"'), "2> /dev/full").returncode == code


@needs_shell
@pytest.mark.parametrize("command", ["predict a.png --model {}", "info {}", "--help"])
def test_a_reader_that_has_ended_is_no_error(photos, model, command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = subprocess.run(
            f'"{sys.executable}" -m levit {command.format(model)}', shell=True, stdout=closed, stderr=subprocess.PIPE,
            timeout=120, check=False,
        )  # fmt: skip
    assert (process.returncode, process.stderr) == (1, b"")


# Registers a function for the end of the process, and runs the command line.
AT_EXIT = """
import atexit, tempfile, sys
folder = tempfile.TemporaryDirectory(prefix="levit-")
atexit.register(lambda: print(folder.name, file=sys.stderr))
from levit.cli import run
run()
"""


@pytest.mark.parametrize("arguments", [("predict", "a.png", "--model"), ("info",)], ids=["predict", "info"])
def test_temporary_folders_are_deleted(photos, model, arguments):
    command = [sys.executable, "-W", "ignore", "-c", AT_EXIT, *arguments, str(model)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0
    assert "levit-" in process.stderr
    assert not Path(process.stderr.strip()).exists()
