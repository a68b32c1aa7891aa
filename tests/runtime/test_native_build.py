"""The native library is compiled for every platform on one machine."""

import struct
from pathlib import Path

import pytest

from tests.runtime.native_library import build_module

build = build_module()

FUNCTIONS = [b"levit_open", b"levit_run_pixels", b"levit_run_values", b"levit_close", b"levit_format"]


def machine(library: Path) -> str:
    """System and processor of a library, from the first bytes of its format."""
    content = library.read_bytes()
    if content[:4] == b"\x7fELF":
        return {62: "linux-x86_64", 183: "linux-aarch64"}[struct.unpack_from("<H", content, 18)[0]]
    if content[:4] == b"\xcf\xfa\xed\xfe":
        return {0x01000007: "macos-x86_64", 0x0100000C: "macos-arm64"}[struct.unpack_from("<I", content, 4)[0]]
    assert content[:2] == b"MZ"
    header = struct.unpack_from("<I", content, 0x3C)[0]
    assert content[header : header + 4] == b"PE\0\0"
    return {0x8664: "windows-x86_64"}[struct.unpack_from("<H", content, header + 4)[0]]


@pytest.mark.slow
@pytest.mark.parametrize("name", build.PLATFORMS)
def test_the_library_is_compiled_for_every_platform(name, tmp_path):
    if "ziglang" not in (build.find_compiler() or []):
        pytest.skip("needs a compiler for all platforms: pip install ziglang")
    library = tmp_path / "levit_native.so"
    build.build(library, target=build.find_platform(name))
    assert machine(library) == name
    content = library.read_bytes()
    assert [function for function in FUNCTIONS if function not in content] == []


def test_the_platforms_are_those_of_wheels():
    tags = {target.wheel for target in build.PLATFORMS.values()}
    assert tags == {
        "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "macosx_10_15_x86_64", "win_amd64",
    }  # fmt: skip
    assert build.this_platform(["g++"]).triple == ""


def test_an_unknown_platform_and_a_compiler_of_one_platform_are_errors(monkeypatch):
    with pytest.raises(ValueError, match="no platform is called 'amiga': use one of linux-x86_64, linux-aarch64"):
        build.find_platform("amiga")
    monkeypatch.setenv("CXX", "g++")
    with pytest.raises(OSError, match="only ziglang compiles for linux-aarch64: pip install ziglang"):
        build.find_platform("linux-aarch64")
