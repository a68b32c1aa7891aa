"""Images are assigned to parts class by class, and groups stay together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.data.splitting import assign_parts, group_images


@st.composite
def labeled_groups(draw):
    """Labels of images of three classes, and pairs of duplicates."""
    labels = draw(st.lists(st.sampled_from([(0,), (1,), (2,)]), min_size=1, max_size=60))
    number = st.integers(0, len(labels) - 1)
    pairs = draw(st.lists(st.tuples(number, number), max_size=10))
    return labels, pairs


@given(data=labeled_groups(), seed=st.integers(0, 9), test=st.floats(0, 0.5), val=st.floats(0, 0.4))
def test_groups_are_in_one_part_and_every_class_keeps_a_training_group(data, seed, test, val):
    labels, pairs = data
    groups = group_images(len(labels), pairs)
    parts = assign_parts(labels, groups, num_classes=3, fractions={"test": test, "val": val}, seed=seed)
    assert len(parts) == len(labels)
    for first, second in pairs:
        assert parts[first] == parts[second]
    for label in {labels[group] for group in groups}:  # the class of a group is that of its first image
        assert any(part == "train" and labels[group] == label for part, group in zip(parts, groups, strict=True))


def test_pairs_connect_images_through_others():
    assert group_images(6, [(5, 4), (1, 4), (2, 2)]).tolist() == [0, 1, 2, 3, 1, 1]


def test_long_chains_and_stars_of_pairs_are_one_group():
    chain = [(number + 1, number) for number in reversed(range(99))]
    star = [(99, number) for number in range(99)]
    for pairs in (chain, chain[::-1], star, star[::-1]):
        assert group_images(100, pairs).tolist() == [0] * 100


def test_the_fractions_are_those_of_all_images():
    labels = [(index % 2,) for index in range(200)]
    parts = assign_parts(labels, np.arange(200), num_classes=2, fractions={"test": 0.2, "val": 0.1}, seed=0)
    assert [parts.count(part) for part in ("train", "val", "test")] == [140, 20, 40]
    assert [parts[0::2].count(part) for part in ("train", "val", "test")] == [70, 10, 20]


def test_the_test_set_does_not_depend_on_the_size_of_the_validation_set():
    labels, groups = [(index % 2,) for index in range(100)], np.arange(100)
    with_val, without_val = (
        assign_parts(labels, groups, num_classes=2, fractions={"test": 0.2, "val": val}, seed=3) for val in (0.1, 0)
    )
    assert [part == "test" for part in with_val] == [part == "test" for part in without_val]


def test_another_seed_gives_another_choice():
    labels, groups = [(0,)] * 100, np.arange(100)
    choices = [assign_parts(labels, groups, num_classes=1, fractions={"test": 0.2}, seed=seed) for seed in (0, 0, 1)]
    assert choices[0] == choices[1] != choices[2]


@pytest.mark.parametrize(
    ("labels", "fraction", "is_multi_label", "chosen"),
    [
        ([(index % 3,) for index in range(30)], 0.2, False, [0, 1, 5, 17, 24, 28]),
        ([(index % 3,) if index % 4 else (0, 2) for index in range(20)], 0.3, True, [3, 8, 12, 13, 14, 16]),
    ],
    ids=["one label", "several labels"],
)
def test_a_seed_gives_the_same_choice_in_every_version(labels, fraction, is_multi_label, chosen):
    """Runs that are resumed, and evaluations of their validation images, depend on it."""
    parts = assign_parts(
        labels, np.arange(len(labels)), num_classes=3, fractions={"val": fraction}, seed=7,
        is_multi_label=is_multi_label,
    )  # fmt: skip
    assert [index for index, part in enumerate(parts) if part == "val"] == chosen


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 3))
def test_images_are_chosen_from_every_class_and_one_of_each_is_left(classes, fraction, seed):
    labels = [(label,) for label in classes]
    parts = assign_parts(labels, np.arange(len(labels)), num_classes=5, fractions={"val": fraction}, seed=seed)
    counts = Counter(labels)
    chosen = Counter(label for label, part in zip(labels, parts, strict=True) if part == "val")
    for label, count in counts.items():
        expected = max(1, round(fraction * count)) if fraction else 0
        assert chosen[label] == min(expected, count - 1)


@pytest.mark.parametrize("seed", range(5))
def test_the_only_image_with_a_label_is_for_training(seed):
    labels = [(0, 1), (0,), (), (0, 2), (2,)]
    parts = assign_parts(labels, np.arange(5), num_classes=3, fractions={"val": 0.6}, seed=seed, is_multi_label=True)
    assert parts[0] == "train"  # the only image of class 1
    assert {label for image, part in zip(labels, parts, strict=True) for label in image if part == "train"} == {0, 1, 2}
    assert "val" in parts


def test_chosen_images_take_their_group_along():
    groups = group_images(6, [(2, 4)])
    parts = assign_parts([(0,)] * 6, groups, num_classes=1, fractions={}, seed=0, chosen={"test": [4], "train": [0]})
    assert parts == ["train", "train", "test", "train", "test", "train"]


def test_a_group_that_is_larger_than_the_share_of_a_part_is_for_training():
    groups = group_images(20, [(0, index) for index in range(15)])
    for seed in range(5):
        parts = assign_parts([(0,)] * 20, groups, num_classes=1, fractions={"test": 0.2, "val": 0.1}, seed=seed)
        assert {*parts[:15]} == {"train"}
        assert (parts[15:].count("test"), parts[15:].count("val")) == (4, 1)
