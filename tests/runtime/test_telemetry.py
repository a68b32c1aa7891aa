"""Telemetry of OpenVINO and NNCF."""

import os
import subprocess
import sys

import pytest

from levit.runtime.telemetry import telemetry_disabled
from tests.conftest import EXAMPLES

# Prints a line for each fork and each connection, also in children.
WATCH = """
import os, socket
os.register_at_fork(before=lambda: print("fork", flush=True))
socket.socket.connect = lambda *_: print("connection", flush=True)
"""


def test_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("CI", "0")
    monkeypatch.delenv("NNCF_CI", raising=False)
    with telemetry_disabled(), telemetry_disabled():
        assert (os.environ["CI"], os.environ["NNCF_CI"]) == ("true", "1")
    assert os.environ["CI"] == "0"
    assert "NNCF_CI" not in os.environ


def output_of(program: str, home) -> list[str]:
    """Lines that a program prints in a process without the variables of continuous integration."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "TF_BUILD")}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home)}  # where openvino_telemetry keeps its settings
    command = [sys.executable, "-c", WATCH + program]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.parametrize(
    "program",
    [
        f"import levit; levit.Classifier(engine='openvino')({str(EXAMPLES / 'cat.jpg')!r})",
        "import levit.benchmarking.peak",
        "import levit.runtime.openvino_engine, nncf",
        "import levit.runtime.telemetry as t\nwith t.telemetry_disabled(): import nncf\nimport openvino",
    ],
)
def test_no_telemetry_is_sent(program, tmp_path):
    assert output_of(f"{program}\nprint('end')", tmp_path) == ["end"]
    assert list(tmp_path.rglob("*")) == []  # no client id and no statistics of openvino_telemetry


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_the_test_notices_telemetry(tmp_path):
    """Without the switch, openvino_telemetry forks a process that sends."""
    assert "fork" in output_of("import openvino", tmp_path)
