"""Precision in which the native engine computes a model."""

from __future__ import annotations

from levit.runtime.native_library import BF16_INSTRUCTIONS
from levit.runtime.precision import PrecisionChoice, choose_precision

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


def choose_native_precision(
    requested: str, *, quantized: bool, instruction_set: str, source: str = "the model"
) -> PrecisionChoice:
    """Choose the precision of a model, as `levit.runtime.precision.choose_precision`.

    Args:
        requested: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        quantized: True for a model with quantized activations.
        instruction_set: as for `float_precision`.
        source: name of the model in errors.

    Raises:
        EngineError: int8 is requested, and the model is not quantized.
    """
    has_bf16 = instruction_set in BF16_INSTRUCTIONS
    choice = choose_precision(
        requested, quantized=quantized, has_bf16=has_bf16, without_bf16=_WITHOUT_BF16, source=source
    )
    return choice._replace(reason=f"{choice.reason}; instructions: {instruction_set}")
