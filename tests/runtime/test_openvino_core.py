"""The one OpenVINO core."""

import subprocess
import sys

import pytest

from levit.runtime.openvino_core import openvino_core
from tests.conftest import EXAMPLES

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


def test_there_is_one():
    assert openvino_core() is openvino_core()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_a_signal_after_two_classifiers_are_gone_is_handled():
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(EXAMPLES / "cat.jpg")], capture_output=True, text=True)
    assert (run.returncode, run.stdout.split()) == (0, ["handled", "alive"]), run.stderr
