"""Precision in which the native engine computes a model."""

from __future__ import annotations

from math import prod

from levit.errors import EngineError
from levit.runtime.native_library import BF16_INSTRUCTIONS, INT16_INSTRUCTIONS, MAX_INT16_KEYS
from levit.spec.architecture import Architecture
from levit.spec.artifact import Artifact
from levit.spec.network import attention_blocks

_WITHOUT_BF16 = "because this engine computes bf16 only with AMX and with Arm's i8mm"


def float_precision(requested: str, instruction_set: str) -> str:
    """Precision of the layers that are not quantized, "bf16" or "fp32".

    Args:
        requested: "auto", "fp32", "bf16" or "int8".
        instruction_set: name of an instruction set, see `levit.runtime.native_library.instruction_sets`.

    Examples:
        >>> float_precision("auto", "amx"), float_precision("auto", "avx512"), float_precision("fp32", "amx")
        ('bf16', 'fp32', 'fp32')
    """
    return "bf16" if requested != "fp32" and instruction_set in BF16_INSTRUCTIONS else "fp32"


def choose_precision(requested: str, artifact: Artifact, instruction_set: str, source: str) -> tuple[str, str]:
    """Choose the precision of a model.

    Args:
        requested: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        artifact: description of the model.
        instruction_set: as for `float_precision`.
        source: name of the model in errors.

    Returns:
        "int8", "bf16" or "fp32", and the reason for it.

    Raises:
        EngineError: int8 is requested, and the model is not quantized.
    """
    has_bf16 = instruction_set in BF16_INSTRUCTIONS
    in_float = float_precision(requested, instruction_set)
    reason = "which this processor computes natively" if has_bf16 else _WITHOUT_BF16
    if requested in ("fp32", in_float):
        reason = "as requested"
    if artifact.precision == "int8":
        is_int16 = requested != "fp32" and instruction_set in INT16_INSTRUCTIONS
        attention = _int16_attention(artifact.architecture) if is_int16 else ""
        quantized = f"the file is quantized; other layers are computed in {in_float}{attention}"
        return "int8", f"{quantized}, {reason}; instructions: {instruction_set}"
    if requested == "int8":
        raise EngineError("not quantized", source=source, hint="export it in int8 with `levit export`")
    return in_float, f"{in_float}, {reason}; instructions: {instruction_set}"


def _int16_attention(architecture: Architecture) -> str:
    """Which attention of a quantized network is computed in int16, behind "other layers are computed in fp32"."""
    blocks = attention_blocks(architecture)
    is_int16 = [prod(block.input_grid) <= MAX_INT16_KEYS for block in blocks]
    if not any(is_int16):
        return ""
    return f" and attention{'' if all(is_int16) else f' over up to {MAX_INT16_KEYS:,} tokens'} in int16"
