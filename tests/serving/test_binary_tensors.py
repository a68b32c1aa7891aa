"""Tensors of the Open Inference Protocol: round trips, and refusal of any other bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.serving.binary_tensors import read_binary_tensor, read_tensor, write_elements
from levit.serving.errors import RequestError


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_elements_that_are_written_are_read_again(elements):
    tensor = read_binary_tensor("image", "BYTES", (len(elements),), memoryview(write_elements(elements)))
    assert tensor.values == elements


@given(st.binary(max_size=40), st.integers(0, 4))
def test_any_bytes_are_elements_or_an_error(data, count):
    try:
        values = read_binary_tensor("image", "BYTES", (count,), memoryview(data)).values
    except RequestError as error:
        status, values = error.status, None
    assert status == 400 if values is None else write_elements(values) == data


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=6, max_size=6))
def test_numbers_are_the_same_in_json_and_in_binary(numbers):
    array = np.array(numbers, "<f4").reshape(2, 3)
    from_json = read_tensor("pixel_values", "FP32", (2, 3), array.tolist()).values
    from_binary = read_binary_tensor("pixel_values", "FP32", (2, 3), memoryview(array.tobytes())).values
    assert np.array_equal(from_json, array)
    assert np.array_equal(from_binary, array)


@pytest.mark.parametrize(("size", "shape"), [(11, (1, 3)), (13, (1, 3)), (12, (2, 3)), (0, (1,))])
def test_numbers_of_another_size_are_refused(size, shape):
    with pytest.raises(RequestError, match="the data are not FP32 of the shape"):
        read_binary_tensor("pixel_values", "FP32", shape, memoryview(bytes(size)))
