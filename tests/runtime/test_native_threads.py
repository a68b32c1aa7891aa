"""Threads of the native engine: which of them compute, what memory they need, and forked processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.native_library import _library, native_library  # noqa: F401  # fixtures

pytestmark = pytest.mark.usefixtures("native_library")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_each_of_a_few_images_has_a_thread_and_its_memory():
    program = """
from pathlib import Path
import numpy as np, onnx
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

network = NativeNetwork(pack(onnx.load(find_artifact(None))), threads=40)
images = np.zeros((20, 112, 112, 3), np.uint8)
pages = [resident_pages()]
for count in (1, 20):
    network.run(images[:count])
    pages.append(resident_pages())
print(pages[1] - pages[0], pages[2] - pages[1])
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    alone, few = map(int, process.stdout.split())
    assert few > 10 * alone  # one thread has computed the first image, and twenty threads the others


@needs_fork
def test_a_forked_process_may_not_use_the_engine_of_its_parent():
    program = """
import os, sys, numpy as np, levit
from levit.runtime.model_resolution import open_model
engine = open_model(None, engine="native")
images = np.zeros((1, *levit.Classifier().artifact.preprocessing.output_size, 3), np.uint8)
engine.run_images(images)
child = os.fork()
if child == 0:
    try:
        engine.run_images(images)
    except levit.EngineError as error:
        os._exit(0 if "was used before this process was forked" in str(error) else 1)
    os._exit(2)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@needs_fork
def test_a_process_that_is_forked_before_the_first_batch_may_use_the_engine():
    program = """
import os, sys, numpy as np, levit
from levit.runtime.model_resolution import open_model
engine = open_model(None, engine="native")
images = np.zeros((3, *levit.Classifier().artifact.preprocessing.output_size, 3), np.uint8)
child = os.fork()
if child == 0:
    engine.run_images(images)
    os._exit(0)
engine.run_images(images)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=300).returncode == 0
