"""The native engine on processors that QEMU emulates, Arm and x86-64 without newer instructions, and in Wine."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from levit.deployment.build import build_artifact
from levit.runtime.model_info import describe
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_format import split_metadata
from levit.runtime.native_library import instruction_sets
from levit.runtime.native_network import NativeNetwork
from levit.runtime.native_packing import pack
from tests.architectures import ODD_WIDTHS
from tests.conftest import random_checkpoint, relative
from tests.runtime.native_library import native_module

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("native_library")]

ARM_LIBRARIES = Path("/usr/aarch64-linux-gnu")
WINE = shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")

# Processors of QEMU, and the instruction sets that the engine uses on them, fastest first.
ARM = {
    "max": ["i8mm", "dotprod", "portable"],
    "neoverse-n1": ["dotprod", "portable"],
    "cortex-a72": ["portable"],
}
X86 = {"Nehalem": ["portable"], "Haswell": ["avx2", "portable"]}

# Largest difference to the portable instructions of this processor, relative to the largest logit: sums of floats are
# added in another order, which may round a code of int8 differently; the attention of Arm is in fp32.
BOUNDS = {"fp32": 1e-5, "bf16": 0.02, "int8": 0.02}


def quantized() -> onnx.ModelProto:
    path = find_artifact(None)
    assert isinstance(path, Path)
    return onnx.load(path)


@cache
def packed(precision: str) -> bytes:
    if precision == "int8":
        return pack(quantized(), attention_16_bit=True)
    is_bf16 = precision == "bf16"
    return pack(build_artifact(random_checkpoint(ODD_WIDTHS)), bf16=is_bf16, attention_16_bit=is_bf16)


def program_for(platform: str, program: Path) -> Path:
    """Compile the program that computes logits for another platform."""
    build = native_module("build.py")
    compiler = build.find_compiler() or []
    if "ziglang" not in compiler:
        pytest.skip(f"needs a compiler for {platform}: pip install ziglang")
    target = build.PLATFORMS[platform]
    build.build_program(program, [Path(__file__).with_name("compute.cpp")], compiler=compiler, target=target)
    return program


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory) -> Path:
    if shutil.which("qemu-aarch64") is None or not ARM_LIBRARIES.is_dir():
        pytest.skip("needs qemu-user and libc6-arm64-cross: .ci/install_packages")
    return program_for("linux-aarch64", tmp_path_factory.mktemp("arm") / "compute")


@pytest.fixture(scope="module")
def x86_program(native_library, tmp_path_factory) -> Path:
    build = native_module("build.py")
    compiler = build.find_compiler()
    if shutil.which("qemu-x86_64") is None or compiler is None:
        pytest.skip("needs qemu-user and a C++ compiler: .ci/install_packages")
    program = tmp_path_factory.mktemp("x86") / "compute"
    build.build_program(program, [Path(__file__).with_name("compute.cpp")], compiler=compiler, library=native_library)
    return program


@pytest.fixture(scope="module")
def windows_program(tmp_path_factory) -> Path:
    if WINE is None:
        pytest.skip("needs wine64 (Debian, Ubuntu)")
    return program_for("windows-x86_64", tmp_path_factory.mktemp("windows") / "compute.exe")


def check(folder: Path, emulator: list[str], program: Path, names: list[str], precision: str) -> None:
    """Compare the logits of every instruction set of an emulated processor with the portable ones of this one."""
    content = packed(precision)
    model_file = content[: split_metadata(memoryview(content))[0]]
    network = NativeNetwork(content, threads=1, instruction_set="portable")
    size = describe(None)[0].architecture.image_height_width if precision == "int8" else ODD_WIDTHS.image_height_width
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    expected = network.run(pixels)
    network.close()
    (folder / "model").write_bytes(model_file)
    (folder / "pixels").write_bytes(pixels.tobytes())
    command = [*emulator, program, "model", "pixels", "logits", "2"]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600, cwd=folder)
    assert process.stdout.split() == names
    logits = np.fromfile(folder / "logits", np.float32).reshape(len(names), *expected.shape)
    for name, actual in zip(names, logits, strict=True):
        assert relative(actual, expected) < BOUNDS[precision], name


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("processor", ARM)
def test_every_instruction_set_of_arm_gives_the_logits_of_the_portable_ones(
    processor, precision, arm_program, tmp_path
):
    emulator = ["qemu-aarch64", "-L", str(ARM_LIBRARIES), "-cpu", processor]
    check(tmp_path, emulator, arm_program, ARM[processor], precision)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("processor", X86)
def test_an_older_processor_gets_instructions_that_it_has(processor, precision, x86_program, tmp_path):
    check(tmp_path, ["qemu-x86_64", "-cpu", processor], x86_program, X86[processor], precision)


@pytest.mark.parametrize("precision", BOUNDS)
def test_the_program_for_windows_gives_the_same_logits(precision, windows_program, tmp_path, monkeypatch):
    monkeypatch.setenv("WINEPREFIX", str(windows_program.with_name("wine")))
    monkeypatch.setenv("WINEDEBUG", "-all")
    names = [name for name in instruction_sets() if name != "amx"]  # for which Windows has another permission
    check(tmp_path, [str(WINE)], windows_program, names, precision)
