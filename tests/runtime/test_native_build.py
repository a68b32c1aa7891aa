"""The native library is compiled for every platform on one machine."""

import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT
from tests.runtime.native_library import native_module

build = native_module("build.py")

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


def sections(library: bytes) -> set[str]:
    """Names of the sections of a library of Linux."""
    (offset,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names = struct.unpack_from("<3H", library, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", library, offset + size * index) for index in range(count)]
    start = headers[names][4]
    return {library[start + name :].split(b"\0", 1)[0].decode() for name, *_ in headers}


def mach_o_exports(content: bytes) -> list[bytes]:
    """Exported names of a library of macOS, from the tree of their common beginnings."""
    position = 32
    for _ in range(struct.unpack_from("<I", content, 16)[0]):
        command, size = struct.unpack_from("<II", content, position)
        if command == 0x80000022:  # LC_DYLD_INFO_ONLY
            start, length = struct.unpack_from("<II", content, position + 40)
            return names_below(content[start : start + length], 0, b"")
        position += size
    return []


def names_below(tree: bytes, node: int, prefix: bytes) -> list[bytes]:
    """Names at a node of the tree and below it."""
    names = [prefix] if tree[node] else []
    position = node + 1 + tree[node]  # behind the length of the record, and the record
    children = tree[position]
    position += 1
    for _ in range(children):
        end = tree.index(b"\0", position)
        child, position, shift, part = 0, end + 1, 0, tree[position:end]
        while True:  # a number in groups of seven bits
            byte = tree[position]
            child |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                break
        names += names_below(tree, child, prefix + part)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", build.PLATFORMS)
def test_the_library_is_compiled_for_every_platform(name, tmp_path):
    if "ziglang" not in (build.find_compiler() or []):
        pytest.skip("needs a compiler for all platforms: pip install ziglang")
    library = tmp_path / "levit_native.so"
    build.build(library, target=build.find_platform(name))
    assert machine(library) == name
    content = library.read_bytes()
    names = b" ".join(mach_o_exports(content)) if name.startswith("macos") else content
    assert [function for function in FUNCTIONS if function not in names] == []
    if name.startswith("linux"):
        found = sections(content)
        assert ".text" in found
        assert found & {".init_array", ".ctors", ".bss"} == set()  # no constructors, and no state of the process


def test_the_platforms_are_those_of_wheels():
    tags = {target.wheel for target in build.PLATFORMS.values()}
    assert tags == {
        "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "macosx_10_15_x86_64", "win_amd64",
    }  # fmt: skip
    assert build.this_platform(["g++"]).triple == ""


@pytest.mark.parametrize(
    ("version", "machine", "tag"),
    [
        ("14.5", "arm64", "macosx_14_0_arm64"),
        ("26.0", "x86_64", "macosx_26_0_x86_64"),
        ("10.15.7", "x86_64", "macosx_10_15_x86_64"),
    ],
)
def test_a_wheel_of_the_compiler_of_macos_is_for_one_processor(monkeypatch, version, machine, tag):
    """Python may be for both, and its platform is then `macosx-10.13-universal2`."""
    monkeypatch.setattr(build, "sys", SimpleNamespace(platform="darwin"))
    names = {"machine": lambda: machine, "mac_ver": lambda: (version, ("", "", ""), machine)}
    monkeypatch.setattr(build, "platform", SimpleNamespace(**names))
    assert build.this_platform(["clang++"]).wheel == tag


def test_the_release_has_a_wheel_for_every_platform():
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert f"for platform in {' '.join(build.PLATFORMS)}; do" in workflow


def test_the_library_is_replaced_from_a_folder_of_its_own(tmp_path):
    compiler = tmp_path / "compiler.py"
    compiler.write_text("import sys\nopen(sys.argv[sys.argv.index('-o') + 1], 'w').write('compiled')")
    folder = tmp_path / "package"
    (folder / "levit_native.new").mkdir(parents=True)  # of another build at the same time
    library = folder / "levit_native.so"
    library.write_text("before")
    build.build(library, compiler=[sys.executable, str(compiler)])
    assert library.read_text() == "compiled"
    assert sorted(file.name for file in folder.iterdir()) == ["levit_native.new", "levit_native.so"]


def test_an_unknown_platform_and_a_compiler_of_one_platform_are_errors(monkeypatch):
    with pytest.raises(ValueError, match="no platform is called 'amiga': use one of linux-x86_64, linux-aarch64"):
        build.find_platform("amiga")
    monkeypatch.setenv("CXX", "g++")
    with pytest.raises(OSError, match="only ziglang compiles for linux-aarch64: pip install ziglang"):
        build.find_platform("linux-aarch64")


def test_a_big_endian_processor_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "sys", SimpleNamespace(byteorder="big"))
    target = build.Platform("s390x", "", "linux_s390x")
    with pytest.raises(OSError, match=r"^the native engine is for little-endian processors$"):
        build.build(tmp_path / "levit_native.so", compiler=["c++"], target=target)


@pytest.mark.skipif(os.name == "nt", reason="backslashes are part of a path there")
def test_the_path_of_a_compiler_may_have_spaces(monkeypatch):
    monkeypatch.setenv("CXX", "'/opt/a compiler/c++' -static")
    assert build.find_compiler() == ["/opt/a compiler/c++", "-static"]
