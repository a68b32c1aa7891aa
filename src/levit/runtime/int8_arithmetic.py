"""How exactly this processor computes int8."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

from levit.errors import EngineError
from levit.runtime.native_library import find_library, instruction_sets

_WITHOUT_VNNI = {"SSE41", "AVX", "AVX2", "AVX512_CORE"}  # values of ONEDNN_MAX_CPU_ISA


def has_exact_int8(*, environment: Mapping[str, str] = os.environ) -> bool | None:
    """Return whether products of int8 are summed exactly, by VNNI instructions.

    x86 processors without VNNI add pairs of products in 16 bits, which saturates at large values, so that the logits
    differ and a few predictions with them (docs/speed.md).

    Args:
        environment: environment variables; ONEDNN_MAX_CPU_ISA may exclude VNNI.

    Returns:
        None where it is not known: on other processors than x86, and without the native library.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        has_vnni = instruction_sets()[0] not in ("avx2", "portable")
    except EngineError:
        return None
    return has_vnni and environment.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _WITHOUT_VNNI


def exact_int8_engine() -> str:
    """Name of the engine whose accuracy in int8 is that of a processor with VNNI, as in `open_engine(engine=…)`.

    It is "auto", or "native" on a processor on which the sums of OpenVINO saturate.

    Examples:
        >>> exact_int8_engine() in ("auto", "native")
        True
    """
    return "native" if has_exact_int8() is False and find_library() is not None else "auto"
