"""Deterministic distributed sampler: a function of seed and epoch, the same for any number of processes."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from levit.training.sampler import DeterministicSampler

IMAGES = st.integers(1, 60)
BATCH_SIZES = st.integers(2, 32)
MICROBATCHES = st.integers(1, 6)
REPEATS = st.integers(1, 4)
SEEDS = st.integers(0, 5)


def make_sampler(num_images, batch_size, num_microbatches=1, seed=0, repeats=1):
    return DeterministicSampler(
        num_images=num_images, batch_size=batch_size, num_microbatches=num_microbatches, seed=seed, repeats=repeats
    )


def samples_of_step(sampler, step, *, epoch=0):
    indices = range(sampler.num_microbatches)
    return [sample for index in indices for sample in sampler.microbatch(epoch=epoch, step=step, index=index)]


def samples_of_epoch(sampler, *, epoch=0):
    return [sample for step in range(sampler.steps_per_epoch) for sample in samples_of_step(sampler, step, epoch=epoch)]


def images_of_epoch(sampler, *, epoch=0):
    return [sample.image for sample in samples_of_epoch(sampler, epoch=epoch)]


@given(IMAGES, BATCH_SIZES, MICROBATCHES, REPEATS, SEEDS)
def test_the_microbatches_of_a_step_contain_the_samples_of_one_large_batch(
    num_images, batch_size, microbatches, repeats, seed
):
    sampler = make_sampler(num_images, batch_size, microbatches, seed, repeats)
    single = make_sampler(num_images, sampler.step_size, 1, seed, repeats)
    assume(single.step_size == sampler.step_size)  # with fewer images, every process has a pair and one alone fewer
    for step in range(sampler.steps_per_epoch):
        assert Counter(samples_of_step(sampler, step)) == Counter(samples_of_step(single, step))
        for index in range(microbatches):
            assert len(sampler.microbatch(epoch=0, step=step, index=index)) == sampler.microbatch_size


@given(st.integers(1, 4), MICROBATCHES, REPEATS, SEEDS, st.integers(0, 40))
def test_a_batch_size_of_whole_pairs_per_microbatch_is_not_rounded(pairs, microbatches, repeats, seed, more):
    batch_size = 2 * microbatches * pairs
    sampler = make_sampler(batch_size + more, batch_size, microbatches, seed, repeats)
    single = make_sampler(batch_size + more, batch_size, 1, seed, repeats)
    assert (sampler.step_size, sampler.steps_per_epoch) == (batch_size, single.steps_per_epoch)
    for step in range(sampler.steps_per_epoch):
        assert Counter(samples_of_step(sampler, step)) == Counter(samples_of_step(single, step))


@given(st.integers(1, 4), MICROBATCHES, SEEDS, st.integers(0, 40))
def test_mixup_pairs_are_the_same_for_any_number_of_microbatches(pairs, microbatches, seed, more):
    batch_size = 2 * microbatches * pairs
    sampler = make_sampler(batch_size + more, batch_size, microbatches, seed)
    whole = make_sampler(batch_size + more, batch_size, 1, seed).microbatch(epoch=0, step=0, index=0)
    partners = dict(zip(whole, reversed(whole), strict=True))
    for index in range(microbatches):
        samples = sampler.microbatch(epoch=0, step=0, index=index)
        assert list(zip(samples, reversed(samples), strict=True)) == [(one, partners[one]) for one in samples]


@given(IMAGES, BATCH_SIZES, MICROBATCHES, SEEDS)
def test_an_epoch_has_every_image_and_repeats_some_to_fill_the_last_step(num_images, batch_size, microbatches, seed):
    sampler = make_sampler(num_images, batch_size, microbatches, seed)
    samples = samples_of_epoch(sampler)
    counts = Counter(sample.image for sample in samples)
    assert counts.keys() == set(range(num_images))
    assert len(samples) - num_images < sampler.step_size
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(set(samples)) == len(samples)  # a repeated image is augmented differently


@given(IMAGES, BATCH_SIZES, MICROBATCHES, REPEATS, SEEDS, st.integers(0, 100))
def test_the_order_is_a_function_of_seed_and_epoch(num_images, batch_size, microbatches, repeats, seed, epoch):
    sampler, same = (make_sampler(num_images, batch_size, microbatches, seed, repeats) for _ in range(2))
    first = samples_of_step(sampler, 0, epoch=epoch)
    samples_of_step(sampler, sampler.steps_per_epoch - 1, epoch=epoch + 1)
    assert samples_of_step(same, 0, epoch=epoch) == samples_of_step(sampler, 0, epoch=epoch) == first
    assert {sample.epoch for sample in first} == {epoch}


def test_each_seed_and_epoch_has_its_own_order():
    sampler, other = (make_sampler(50, 10, seed=seed) for seed in (0, 1))
    orders = [images_of_epoch(chosen, epoch=epoch) for chosen in (sampler, other) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(map(tuple, orders))) == 4


@given(st.integers(2, 60), st.integers(1, 5), st.integers(2, 4), SEEDS)
def test_repeated_augmentation_has_consecutive_occurrences_with_distinct_repeat_numbers(
    num_images, pairs, repeats, seed
):
    sampler = make_sampler(num_images, 2 * pairs, seed=seed, repeats=repeats)
    assert sampler.steps_per_epoch == make_sampler(num_images, 2 * pairs, seed=seed).steps_per_epoch
    samples = samples_of_epoch(sampler)
    repeat_numbers = {}
    for sample in samples:
        repeat_numbers.setdefault(sample.image, []).append(sample.repeat)
    consecutive = [numbers == list(range(len(numbers))) for numbers in repeat_numbers.values()]
    assert sum(consecutive) >= len(repeat_numbers) - 1
    assert len(set(samples)) == len(samples)
    assert sum(len(numbers) < repeats for numbers in repeat_numbers.values()) <= 1  # the last image


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), SEEDS)
def test_the_repetitions_of_an_image_belong_to_different_microbatches(pairs, microbatches, repeats, seed):
    assume(repeats <= microbatches)
    batch_size = 2 * microbatches * pairs
    sampler = make_sampler(4 * batch_size, batch_size, microbatches, seed, repeats)
    for index in range(microbatches):
        images = [sample.image for sample in sampler.microbatch(epoch=0, step=1, index=index)]
        half = len(images) // 2
        assert len(set(images[:half])) == len(set(images[half:])) == half
        assert len(set(images)) >= len(images) - 1  # both halves may contain the image in the middle of a step


@given(st.integers(1, 9), st.integers(10, 64), MICROBATCHES, SEEDS)
def test_fewer_images_than_a_batch_are_one_step(num_images, batch_size, microbatches, seed):
    assume(num_images <= batch_size // (2 * microbatches) * 2 * microbatches)  # whole pairs for every microbatch
    sampler = make_sampler(num_images, batch_size, microbatches, seed)
    counts = Counter(images_of_epoch(sampler))
    assert sampler.steps_per_epoch == 1
    assert num_images <= sum(counts.values()) == sampler.step_size < num_images + 2 * microbatches
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("process", [0, 1])
def test_the_microbatches_of_a_process_can_start_at_any_step(process):
    sampler = make_sampler(40, 8, 4)

    def microbatches_from(first_step):
        chosen = sampler.process_microbatches(epoch=2, first_step=first_step, process=process, num_processes=2)
        return list(chosen)

    whole = microbatches_from(0)
    indices = (2 * process, 2 * process + 1)
    assert whole == [sampler.microbatch(epoch=2, step=step, index=index) for step in range(5) for index in indices]
    assert microbatches_from(3) == whole[6:]
    assert microbatches_from(5) == []
