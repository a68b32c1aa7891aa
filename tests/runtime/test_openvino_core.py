"""The OpenVINO core of the process."""

import subprocess
import sys

import pytest

from levit.runtime.openvino_core import openvino_core
from tests.conftest import EXAMPLES, ROOT

SCRIPT = """
import os, signal, sys, levit
first, second = levit.Classifier(engine="openvino"), levit.Classifier(engine="openvino")
first(sys.argv[1]), second(sys.argv[1])
del first
del second
signal.signal(signal.SIGINT, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGINT)
print("alive")
"""


def test_the_core_is_shared():
    assert openvino_core() is openvino_core()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_after_two_classifiers_are_deleted_is_handled():
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(EXAMPLES / "cat.jpg")], capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["handled", "alive"]), run.stderr


def test_openvino_is_imported_in_one_module_only():
    """Another import could come first, with telemetry."""
    importing = [
        file.name
        for file in (ROOT / "src/levit").rglob("*.py")
        if any(
            line.strip().startswith(("import openvino", "from openvino"))
            for line in file.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert importing == ["openvino_core.py"]
