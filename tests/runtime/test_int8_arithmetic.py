"""Whether int8 is exact on a processor, by its instruction sets and the environment of oneDNN; and in which engine."""

import pytest

from levit.errors import EngineError
from levit.runtime import int8_arithmetic
from levit.runtime.int8_arithmetic import exact_int8_engine, has_exact_int8


@pytest.mark.parametrize(
    ("machine", "names", "environment", "expected"),
    [
        ("AMD64", ["avx512", "avx2", "portable"], {}, True),
        ("x86_64", ["avxvnni", "avx2", "portable"], {}, True),
        ("x86_64", ["amx", "avx512", "portable"], {"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ("x86_64", ["avx512", "portable"], {"ONEDNN_MAX_CPU_ISA": "avx512_core"}, False),
        ("x86_64", ["avx512", "portable"], {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        ("x86_64", ["avx2", "portable"], {}, False),
        ("AMD64", ["portable"], {}, False),
        ("arm64", ["i8mm", "dotprod", "portable"], {}, None),
        ("arm64", ["portable"], {"ONEDNN_MAX_CPU_ISA": "AVX2"}, None),
        ("AMD64", None, {}, None),
    ],
)
def test_int8_is_exact_with_vnni(monkeypatch, machine, names, environment, expected):
    def instruction_sets() -> list[str]:
        if names is None:
            raise EngineError("engine native is not installed")
        return names

    monkeypatch.setattr(int8_arithmetic.platform, "machine", lambda: machine)
    monkeypatch.setattr(int8_arithmetic, "instruction_sets", instruction_sets)
    assert has_exact_int8(environment=environment) is expected


@pytest.mark.parametrize(
    ("is_exact", "switch", "expected"),
    [(True, "1", "auto"), (None, "1", "auto"), (False, "1", "native"), (False, "0", "auto")],
)
@pytest.mark.usefixtures("native_library")
def test_accuracy_in_int8_is_measured_by_an_engine_that_does_not_saturate(monkeypatch, is_exact, switch, expected):
    monkeypatch.setattr(int8_arithmetic, "has_exact_int8", lambda: is_exact)
    monkeypatch.setenv("LEVIT_NATIVE", switch)
    assert exact_int8_engine() == expected
