"""The order of an epoch: a function of the seed and its number, the same for any number of processes."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from levit.training.sampler import Order

IMAGES = st.integers(1, 60)
SIZES = st.integers(2, 32)
PARTS = st.integers(1, 6)
REPEATS = st.integers(1, 4)
SEEDS = st.integers(0, 5)


def step_of(order, step, *, epoch=0):
    return [request for part in range(order.parts) for request in order.part(epoch=epoch, step=step, part=part)]


def numbers(order, *, epoch=0):
    return [request.number for step in range(order.steps) for request in step_of(order, step, epoch=epoch)]


@given(IMAGES, SIZES, PARTS, REPEATS, SEEDS)
def test_the_parts_of_a_step_are_what_one_part_alone_has(images, batch_size, parts, repeats, seed):
    order = Order(images=images, batch_size=batch_size, parts=parts, seed=seed, repeats=repeats)
    alone = Order(images=images, batch_size=order.step_size, seed=seed, repeats=repeats)
    assume(alone.step_size == order.step_size)  # fewer images than that: every process has a pair, and one alone fewer
    for step in range(order.steps):
        assert Counter(step_of(order, step)) == Counter(step_of(alone, step))
        assert all(len(order.part(epoch=0, step=step, part=part)) == 2 * order.pairs for part in range(parts))


@given(st.integers(1, 4), PARTS, REPEATS, SEEDS, st.integers(0, 40))
def test_a_batch_of_whole_pairs_for_everybody_is_kept_as_it_is(pairs, parts, repeats, seed, more):
    batch_size = 2 * parts * pairs
    order = Order(images=batch_size + more, batch_size=batch_size, parts=parts, seed=seed, repeats=repeats)
    alone = Order(images=batch_size + more, batch_size=batch_size, seed=seed, repeats=repeats)
    assert (order.step_size, order.steps) == (batch_size, alone.steps)
    for step in range(order.steps):
        assert Counter(step_of(order, step)) == Counter(step_of(alone, step))


@given(st.integers(1, 4), PARTS, SEEDS, st.integers(0, 40))
def test_mixing_pairs_the_same_images_for_any_number_of_processes(pairs, parts, seed, more):
    batch_size = 2 * parts * pairs
    order = Order(images=batch_size + more, batch_size=batch_size, parts=parts, seed=seed)
    whole = Order(images=batch_size + more, batch_size=batch_size, seed=seed).part(epoch=0, step=0, part=0)
    partners = dict(zip(whole, reversed(whole), strict=True))
    for part in range(parts):
        mine = order.part(epoch=0, step=0, part=part)
        assert list(zip(mine, reversed(mine), strict=True)) == [(one, partners[one]) for one in mine]


@given(IMAGES, SIZES, PARTS, SEEDS)
def test_every_image_is_seen_once_and_some_again_where_that_fills_the_last_step(images, batch_size, parts, seed):
    order = Order(images=images, batch_size=batch_size, parts=parts, seed=seed)
    seen = numbers(order)
    counts = Counter(seen)
    assert counts.keys() == set(range(images))
    assert len(seen) - images < order.step_size
    assert max(counts.values()) - min(counts.values()) <= 1
    requests = [request for step in range(order.steps) for request in step_of(order, step)]
    assert len(set(requests)) == len(requests)  # who is seen again is augmented in another way


@given(IMAGES, SIZES, PARTS, REPEATS, SEEDS, st.integers(0, 100))
def test_the_order_is_a_function_of_seed_and_epoch(images, batch_size, parts, repeats, seed, epoch):
    order, again = (
        Order(images=images, batch_size=batch_size, parts=parts, seed=seed, repeats=repeats) for _ in range(2)
    )
    first = step_of(order, 0, epoch=epoch)
    step_of(order, order.steps - 1, epoch=epoch + 1)
    assert step_of(again, 0, epoch=epoch) == step_of(order, 0, epoch=epoch) == first
    assert {request.epoch for request in first} == {epoch}


def test_another_seed_or_epoch_is_another_order():
    order, other = (Order(images=50, batch_size=10, seed=seed) for seed in (0, 1))
    orders = [numbers(order), numbers(order, epoch=1), numbers(other), numbers(other, epoch=1)]
    assert all(sorted(one) == list(range(50)) for one in orders)
    assert len(set(map(tuple, orders))) == 4


@given(st.integers(2, 60), st.integers(1, 5), st.integers(2, 4), SEEDS)
def test_repeated_images_stand_in_a_row_and_are_told_apart(images, pairs, repeats, seed):
    order = Order(images=images, batch_size=2 * pairs, seed=seed, repeats=repeats)
    assert order.steps == Order(images=images, batch_size=2 * pairs, seed=seed).steps
    seen = [request for step in range(order.steps) for request in order.part(epoch=0, step=step, part=0)]
    rows = {}
    for request in seen:
        rows.setdefault(request.number, []).append(request.copy)
    assert sum(copies == list(range(len(copies))) for copies in rows.values()) >= len(rows) - 1
    assert len(set(seen)) == len(seen)
    assert sum(len(copies) < repeats for copies in rows.values()) <= 1  # the last of them


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), SEEDS)
def test_the_repetitions_of_an_image_belong_to_different_processes(pairs, parts, repeats, seed):
    assume(repeats <= parts)
    batch_size = 2 * parts * pairs
    order = Order(images=4 * batch_size, batch_size=batch_size, parts=parts, seed=seed, repeats=repeats)
    for part in range(parts):
        seen = [request.number for request in order.part(epoch=0, step=1, part=part)]
        half = len(seen) // 2
        assert len(set(seen[:half])) == len(set(seen[half:])) == half
        assert len(set(seen)) >= len(seen) - 1  # where the halves meet in the middle of a step


@given(st.integers(1, 9), st.integers(10, 64), PARTS, SEEDS)
def test_fewer_images_than_a_batch_are_one_step(images, batch_size, parts, seed):
    assume(images <= batch_size // (2 * parts) * 2 * parts)  # whole pairs for everybody
    order = Order(images=images, batch_size=batch_size, parts=parts, seed=seed)
    counts = Counter(numbers(order))
    assert order.steps == 1
    assert images <= sum(counts.values()) == order.step_size < images + 2 * parts
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("process", [0, 1])
def test_a_process_goes_on_at_any_step(process):
    order = Order(images=40, batch_size=8, parts=4, seed=0)
    whole = list(order.parts_from(epoch=2, step=0, process=process, processes=2))
    assert whole == [
        order.part(epoch=2, step=step, part=part) for step in range(5) for part in (2 * process, 2 * process + 1)
    ]
    assert list(order.parts_from(epoch=2, step=3, process=process, processes=2)) == whole[6:]
    assert list(order.parts_from(epoch=2, step=5, process=process, processes=2)) == []
