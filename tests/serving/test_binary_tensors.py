"""Tensors of the Open Inference Protocol: round trips, and refusal of any other bytes."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.serving.binary_tensors import check_shape, read_binary_tensor, read_tensor, write_elements
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


@pytest.mark.parametrize("nested", [[[[7, 8], [9, 0]]], [7, [8, [9]], 0], [7, 8, 9, 0]], ids=str)
def test_numbers_in_json_are_flat_or_nested(nested):
    assert read_tensor("pixels", "UINT8", (2, 2), nested).values.tolist() == [[7, 8], [9, 0]]


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT8", [256]),
        ("UINT8", [-1]),
        ("UINT8", [10**30]),
        ("UINT8", [1.0]),
        ("UINT8", [True]),
        ("FP32", [False]),
        ("FP32", [None]),
        ("FP32", ["1"]),
        ("FP32", [{}]),
        ("FP32", {"0": 1}),
        ("FP32", None),
        ("FP32", 1),
        ("FP32", [10**400]),
        ("FP32", [1, 2]),
        ("FP32", []),
    ],
    ids=lambda value: str(value)[:12],
)
def test_other_values_than_the_numbers_of_a_type_are_refused(datatype, data):
    with pytest.raises(RequestError) as error:
        read_tensor("x", datatype, (1,), data)
    assert error.value.status == 400


def test_a_long_text_among_short_ones_takes_no_room_for_each():
    data = ["x" * 100_000, *[""] * 999]
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="the data are not UINT8"):
            read_tensor("pixels", "UINT8", (1000,), data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [[0], [0, *[2**31 - 1] * 3], [1, 0, 2**31 - 1, 2**31 - 1]], ids=str)
def test_a_shape_without_values_is_refused(shape):
    with pytest.raises(RequestError, match="input 'pixels' has no image"):
        check_shape("pixels", shape)


def test_more_elements_than_the_shape_has_are_not_read():
    with pytest.raises(RequestError, match=r"the shape \[1\] does not have 2 values"):
        read_binary_tensor("image", "BYTES", (1,), memoryview(bytes(4_000)))
