"""Whether int8 is exact on a processor, by its flags and by the environment of oneDNN."""

import pytest

from levit.runtime.int8_arithmetic import has_exact_int8


@pytest.mark.parametrize(
    ("cpuinfo", "environment", "expected"),
    [
        ("model name\t: A\nflags\t\t: fpu avx2 avx512_vnni amx_int8\n", {}, True),
        ("flags\t\t: fpu avx2 avx_vnni\n", {}, True),
        ("flags\t\t: fpu avx2 avx512f\n", {}, False),
        ("flags\t\t: fpu avx2 avx512_vnni\n", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ("flags\t\t: fpu avx2 avx512_vnni\n", {"ONEDNN_MAX_CPU_ISA": "avx512_core"}, False),
        ("flags\t\t: fpu avx2 avx512_vnni\n", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        ("Features\t: fp asimd i8mm\n", {}, None),
        (None, {}, None),
    ],
)
def test_int8_is_exact_with_vnni(tmp_path, cpuinfo, environment, expected):
    (tmp_path / "proc").mkdir()
    if cpuinfo is not None:
        (tmp_path / "proc" / "cpuinfo").write_text(cpuinfo)
    assert has_exact_int8(root=tmp_path, environment=environment) is expected
