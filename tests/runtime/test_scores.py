"""Scores without numpy are those of arrays."""

from array import array

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from levit.runtime.scores import best_scores, compute_scores, to_float32

logits = st.lists(
    st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 1.0, 2.5]), min_size=1, max_size=30
)


@given(logits, st.floats(0.05, 20), st.booleans(), st.integers(1, 40))
@example([-15.0], 1.1, True, 1)
def test_best_classes_and_scores_are_those_of_arrays(values, temperature, is_multi_label, count):
    options = {"temperature": temperature, "is_multi_label": is_multi_label}
    light, full = (best_scores(row, count, **options) for row in (array("f", values), np.float32(values)))
    assert [index for index, _ in light] == [index for index, _ in full]
    np.testing.assert_allclose([score for _, score in light], [score for _, score in full], rtol=2e-7)
    scores = compute_scores(np.float32(values), **options)
    assert full == [(index, scores[index]) for index, _ in full]


@given(st.floats(-1e30, 1e30))
def test_rounding_is_that_of_numpy(value):
    assert to_float32(value) == np.float32(value)
