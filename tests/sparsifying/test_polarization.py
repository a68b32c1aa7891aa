import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from levit.sparsifying.polarization import order_keys


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 100))
def test_dense_keys_come_first_and_each_part_stays_in_its_order(queries, keys, share, seed):
    mask = np.random.default_rng(seed).random((2, queries, keys)) < 0.4
    order, counts = order_keys(mask, share)
    for head in range(2):
        density = mask[head].mean(axis=0)[order[head]]
        assert sorted(order[head]) == list(range(keys))
        assert (density[: counts[head]] > share).all()
        assert (density[counts[head] :] <= share).all()
        assert (np.diff(order[head][: counts[head]]) > 0).all()
        assert (np.diff(order[head][counts[head] :]) > 0).all()
