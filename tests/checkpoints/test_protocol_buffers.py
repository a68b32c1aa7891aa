"""Fields of messages of protocol buffers are those that their library writes."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.checkpoints.protocol_buffers import read_fields


@given(st.integers(0, 2**63 - 1), st.text(st.characters(codec="utf-8")))
def test_fields_are_those_of_the_library(number, text):
    message = onnx.ModelProto(ir_version=number, producer_name=text).SerializeToString()
    assert [field for field, _ in read_fields(memoryview(message))] == [1, 2]
    version, name = (value for _, value in read_fields(memoryview(message)))
    assert version == number
    assert bytes(name).decode() == text


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x03ca", b"\x08\xff", b"\x80"])
def test_a_truncated_message_is_an_error(message):
    with pytest.raises(IndexError):
        list(read_fields(memoryview(message)))


@pytest.mark.parametrize("message", [b"\x0d\x00\x00\x00\x00", b"\x08" + b"\xff" * 10])
def test_a_field_of_another_kind_is_an_error(message):
    with pytest.raises(ValueError):  # noqa: PT011  # it has no message
        list(read_fields(memoryview(message)))
