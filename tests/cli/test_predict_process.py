"""`levit predict` in a process of its own: pipes, encodings and terminals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from levit.runtime.classifier import Classifier
from tests.cli.console import start
from tests.conftest import EXAMPLES


def test_a_separate_process_prints_the_same(console, model, photos):
    process = start("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    expected = console("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    assert (process.returncode, process.stdout.decode(), process.stderr) == (expected.code, expected.out, b"")
    refused = start("predict", "a.png", "--model", "missing.onnx")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, b"", b"levit: missing.onnx: no such file\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in file names")
@pytest.mark.parametrize(
    "style", ["--json", *(pytest.param(other, marks=pytest.mark.slow) for other in ("--csv", "--threads=1"))]
)
def test_a_file_name_in_another_encoding_is_printed_escaped(model, photos, style):
    name = os.fsdecode(b"caf\xe9.png")
    Path("a.png").rename(name)
    Path("notes.txt").unlink()
    for arguments, stdin in ((["."], b""), (["-"], os.fsencode(name) + b"\n")):
        process = start("predict", *arguments, "--model", model, style, input=stdin)
        assert (process.returncode, process.stderr) == (0, b"")
        assert rb"caf\udce9.png" in process.stdout
        if style == "--json":  # whose escape decodes to the name
            record = json.loads(process.stdout.decode().splitlines()[-1 if stdin else 1])
            assert os.path.basename(record["file"]) == name  # noqa: PTH119


@pytest.mark.skipif(os.name == "nt", reason="needs pipes that report a closed reader to the writer")
@pytest.mark.parametrize("style", ["--json", "--csv", "--threads=1"])
def test_a_closed_pipe_ends_the_process_without_a_message(model, photos, style):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = start("predict", "a.png", "b.jpg", "--model", model, style, stdout=writer)
    finally:
        os.close(writer)
    assert process.stderr == b""


@pytest.mark.parametrize("style", ["--json", "--csv", "--top-k=1"])
def test_names_on_standard_input_are_classified_as_they_come(model, photos, style):
    """The next name is written only after the line of the one before was read."""
    command = [sys.executable, "-m", "levit", "predict", "-", "--model", str(model), style]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        for name in ("a.png", "b.jpg", "missing.jpg", "deep/er/c.png"):
            process.stdin.write(f"{name}\n")
            line = ""
            while name not in line:  # the header, and further labels of the image before
                line = process.stdout.readline()
                assert line
        process.stdin.close()
        assert process.wait(60) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(("options", "is_said"), [([], True), (["--json"], False), (["--quiet"], False)])
def test_a_terminal_shows_how_many_classes_the_embedded_model_has(options, is_said):
    import pty

    parent, terminal = pty.openpty()
    command = [sys.executable, "-m", "levit", "predict", str(EXAMPLES / "espresso.jpg"), *options]
    run = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, check=True)
    os.close(terminal)
    os.close(parent)
    count = len(Classifier().labels)
    assert (f"the embedded model names {count} kinds of things" in run.stderr) == is_said
    assert ("--model levit-128s" in run.stderr) == is_said
