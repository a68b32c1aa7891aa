"""Precision in which an engine computes a model."""

from __future__ import annotations

from typing import NamedTuple

from levit.errors import EngineError


class PrecisionChoice(NamedTuple):
    """Precision in which an engine computes a model on this processor.

    Attributes:
        precision: "int8", "bf16" or "fp32".
        float_precision: precision of the layers that are not quantized, "bf16" or "fp32".
        reason: explanation, one line of text.
    """

    precision: str
    float_precision: str
    reason: str


def choose_precision(
    requested: str, *, quantized: bool, has_bf16: bool, without_bf16: str, source: str = "the model"
) -> PrecisionChoice:
    """Choose the precision of a model.

    Args:
        requested: "auto", "fp32", "bf16" or "int8". Of a quantized model it applies to the layers in floating point.
        quantized: True for a model with quantized activations.
        has_bf16: whether the engine computes bf16 on this processor.
        without_bf16: reason why it does not, a clause that begins with "because".
        source: name of the model in errors.

    Raises:
        EngineError: int8 is requested, and the model is not quantized.

    Examples:
        >>> choose_precision("auto", quantized=True, has_bf16=True, without_bf16="").reason
        'the file is quantized; other layers are computed in bf16, which this processor computes natively'
    """
    if requested == "int8" and not quantized:
        raise EngineError("not quantized", source=source, hint="export it in int8 with `levit export`")
    in_float = "bf16" if has_bf16 and requested != "fp32" else "fp32"
    reason = "which this processor computes natively" if has_bf16 else without_bf16
    if requested == in_float:
        reason = "as requested"
    if quantized:
        reason = f"the file is quantized; other layers are computed in {in_float}, {reason}"
        return PrecisionChoice("int8", in_float, reason)
    return PrecisionChoice(in_float, in_float, f"{in_float}, {reason}")
