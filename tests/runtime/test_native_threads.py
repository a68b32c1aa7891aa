"""Threads of the native engine: which of them compute, equal logits, memory, and forked processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_library import instruction_sets
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack
from tests.conftest import ROOT, random_checkpoint
from tests.marks import needs_fork
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


def network_and_images(precision: str) -> tuple[bytes, np.ndarray]:
    """Packed model whose numbers of heads three does not divide, and pixels of more images than a group has."""
    if precision == "int8":
        content, size = pack(onnx.load(find_artifact(None)), attention_16_bit=True), 112
    else:
        model = build_artifact(random_checkpoint(SMALL))
        content, size = pack(model, bf16=precision == "bf16", attention_16_bit=precision == "bf16"), 32
    return content, np.random.default_rng(0).integers(0, 256, (19, size, size, 3), np.uint8)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_logits_depend_on_neither_threads_nor_batches_nor_calls(precision):
    content, images = network_and_images(precision)
    for instruction_set in instruction_sets():
        with_one = NativeNetwork(content, threads=1, instruction_set=instruction_set)
        expected = np.concatenate([with_one.run(image[None]) for image in images])
        with_one.close()
        for threads in (1, 3):
            network = NativeNetwork(content, threads=threads, instruction_set=instruction_set)
            np.testing.assert_array_equal(network.run(images), expected)
            for count in (1, 1, 1, 2, 2, 2, 1, 1, 1, 1):  # the third batch of a size is computed by all threads
                np.testing.assert_array_equal(network.run(images[:count]), expected[:count])
            network.close()


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


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_large_batch_takes_no_more_memory_than_a_smaller_one():
    program = """
from dataclasses import replace
from pathlib import Path
import mmap, sys, numpy as np
from levit.deployment.build import build_artifact
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

network = NativeNetwork(pack(build_artifact(random_checkpoint(replace(SMALL, num_labels=500)))), threads=1)
network.run(np.zeros((1024, 32, 32, 3), np.uint8))
before = resident_bytes()
network.run(np.zeros((10_240, 32, 32, 3), np.uint8))
print(resident_bytes() - before)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(process.stdout) < 5_000_000  # where the logits and features of all images take 22 MB


@needs_fork
def test_a_forked_process_may_not_use_the_engine_of_its_parent():
    program = """
import os, sys, numpy as np, levit
from levit.runtime.opened_model import ModelOptions
engine = ModelOptions(None, engine="native").open().engine
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
from levit.runtime.opened_model import ModelOptions
engine = ModelOptions(None, engine="native").open().engine
images = np.zeros((3, *levit.Classifier().artifact.preprocessing.output_size, 3), np.uint8)
child = os.fork()
if child == 0:
    engine.run_images(images)
    os._exit(0)
engine.run_images(images)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=300).returncode == 0
