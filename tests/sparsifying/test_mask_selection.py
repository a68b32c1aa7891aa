"""Selection of keys by the average attention, against the rule of ViTCoD."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import levit
from levit.sparsifying.mask_selection import find_mass, select_by_mass, sparsity_of


def vitcod_mask(row: np.ndarray, mass: float) -> np.ndarray:
    """Removed keys of one query: `info_cutoff` of ViTCoD's gen_mask.py, without its dependence on the stage."""
    descending = np.sort(row)[::-1]
    total, index = 0.0, 0
    rank = np.argsort(np.argsort(row))
    while total < mass and index < len(row):
        total += descending[index]
        index += 1
    return rank <= len(row) - index - 2


@given(st.integers(2, 20), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_the_keys_are_those_of_vitcod(keys, mass, seed):
    attention = np.random.default_rng(seed).dirichlet(np.ones(keys), size=(2, 3))
    expected = ~np.apply_along_axis(vitcod_mask, -1, attention, mass)
    np.testing.assert_array_equal(select_by_mass(attention, mass), expected)


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 1000))
def test_each_query_keeps_the_largest_keys_and_at_least_one(keys, mass, seed):
    attention = np.random.default_rng(seed).dirichlet(np.ones(keys), size=4)
    mask = select_by_mass(attention, mass)
    assert mask.any(axis=-1).all()
    for row, kept in zip(attention, mask, strict=True):
        assert row[kept].sum() >= mass - 1e-9
        assert kept.all() or row[kept].min() >= row[~kept].max()


def test_keys_of_equal_attention_are_kept_in_their_order():
    assert select_by_mass(np.full((1, 4), 0.25), 0.25).tolist() == [[True, True, False, False]]


def test_keys_that_were_removed_before_stay_removed():
    """Their average attention is 0, as may be that of a key that is kept."""
    attention, present = np.array([[0, 0, 0, 0, 1, 0.0]]), np.array([[False, False, False, False, True, False]])
    assert select_by_mass(attention, 0.5).tolist() == [[True, False, False, False, True, False]]
    assert select_by_mass(attention, 0.5, present).tolist() == present.tolist()


def test_keys_that_were_removed_before_count_for_the_sparsity():
    generator = np.random.default_rng(0)
    present = {"layer": generator.random((2, 25, 25)) < 0.5}
    present["layer"][..., 0] = True
    attention = {"layer": generator.random((2, 25, 25)) * present["layer"]}
    attention["layer"] /= attention["layer"].sum(axis=-1, keepdims=True)
    mass = find_mass(attention, 0.7, present)
    mask = select_by_mass(attention["layer"], mass, present["layer"])
    assert not mask[~present["layer"]].any()
    assert 0.7 <= sparsity_of([mask]) < 0.71


@given(st.floats(0.05, 0.8), st.integers(0, 100))
def test_a_sparsity_is_reached_with_as_much_attention_as_possible(sparsity, seed):
    generator = np.random.default_rng(seed)
    attention = {str(keys): generator.dirichlet(np.ones(keys), size=(2, keys)) for keys in (9, 25)}
    mass = find_mass(attention, sparsity)
    assert sparsity_of([select_by_mass(array, mass) for array in attention.values()]) >= sparsity
    assert sparsity_of([select_by_mass(array, mass + 1e-6) for array in attention.values()]) < sparsity


def test_a_sparsity_that_no_mask_has_is_refused():
    attention = {"layer": np.full((1, 4, 4), 0.25)}
    with pytest.raises(levit.ConfigError) as error:
        find_mass(attention, 0.8)
    message = "sparsity is 0.8, but one key for each query leaves a sparsity of 0.750: use at most 0.75"
    assert str(error.value) == message
