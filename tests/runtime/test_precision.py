"""The precision of a model, which every engine chooses by the same rules."""

import pytest

from levit.errors import EngineError
from levit.runtime.precision import choose_precision

NATIVELY, WITHOUT = "which this processor computes natively", "because it has no bf16"

CHOICES = [
    ("auto", True, "bf16", NATIVELY),
    ("auto", False, "fp32", WITHOUT),
    ("bf16", True, "bf16", "as requested"),
    ("bf16", False, "fp32", WITHOUT),
    ("fp32", True, "fp32", "as requested"),
    ("fp32", False, "fp32", "as requested"),
]


@pytest.mark.parametrize(("requested", "has_bf16", "in_float", "reason"), CHOICES)
def test_a_file_in_float_is_computed_as_requested_where_the_processor_can(requested, has_bf16, in_float, reason):
    choice = choose_precision(requested, quantized=False, has_bf16=has_bf16, without_bf16=WITHOUT)
    assert choice == (in_float, in_float, f"{in_float}, {reason}")


@pytest.mark.parametrize(
    ("requested", "has_bf16", "in_float", "reason"),
    [*CHOICES, ("int8", True, "bf16", NATIVELY), ("int8", False, "fp32", WITHOUT)],
)
def test_of_a_quantized_file_the_precision_applies_to_the_other_layers(requested, has_bf16, in_float, reason):
    choice = choose_precision(requested, quantized=True, has_bf16=has_bf16, without_bf16=WITHOUT)
    sentence = f"the file is quantized; other layers are computed in {in_float}, {reason}"
    assert choice == ("int8", in_float, sentence)


def test_int8_of_a_file_in_float_is_an_error():
    with pytest.raises(EngineError, match=r"^the file: not quantized: export it in int8 with `levit export`$"):
        choose_precision("int8", quantized=False, has_bf16=True, without_bf16=WITHOUT, source="the file")
