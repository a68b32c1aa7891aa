"""Subsets contain every image once, and every class is represented."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from levit.data.labeled_images import LabeledImage
from levit.data.subsets import Subset, split_quantization_images, without_quantization_images
from tests.data.listed_dataset import ListedDataset


class NumberedDataset(ListedDataset):
    """Images named by their numbers; the first half is of class 0, the second half of class 1."""

    def __init__(self, count: int) -> None:
        items = [LabeledImage(b"", (2 * number // count,), str(number)) for number in range(count)]
        super().__init__(items, ("a", "b"), "numbered")
        self.num_read = 0

    def __iter__(self):
        for item in self.items:
            self.num_read += 1
            yield item


def names(data) -> list[str]:
    return [item.name for item in data]


def test_a_subset_keeps_the_order_and_the_attributes_of_the_data_set():
    data = NumberedDataset(12)
    subset = Subset(data, np.array([7, 2, 4]))
    assert (names(subset), names(subset), len(subset)) == (["2", "4", "7"], ["2", "4", "7"], 3)
    assert (subset.name, subset.classes, subset.sha256()) == ("numbered", ("a", "b"), data.sha256())


def test_a_subset_reads_no_further_than_its_last_image():
    data = NumberedDataset(1000)
    assert names(Subset(data, np.array([3, 1]))) == ["1", "3"]
    assert data.num_read <= 5
    assert names(Subset(data, np.array([], int))) == []


@given(st.integers(1, 200), st.integers(0, 250))
def test_every_image_is_in_one_part_of_a_split(count, num_chosen):
    parts = split_quantization_images(NumberedDataset(count), num_chosen)
    chosen, remaining = (names(part) for part in parts)
    assert sorted(chosen + remaining, key=int) == [str(number) for number in range(count)]
    lengths = [min(num_chosen, count), max(0, count - num_chosen)]
    assert [len(chosen), len(remaining)] == [len(part) for part in parts] == lengths


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 200))
def test_quantization_images_are_evenly_spread_over_classes(classes, class_size, num_chosen):
    chosen, _ = split_quantization_images(NumberedDataset(classes * class_size), num_chosen)
    counts = Counter(int(name) // class_size for name in names(chosen))
    assert max(counts.values()) - min(counts[number] for number in range(classes)) <= 1


def test_quantization_images_are_evenly_spaced():
    chosen, remaining = split_quantization_images(NumberedDataset(12), 4)
    assert names(chosen) == ["0", "3", "6", "9"]
    assert Counter(item.labels for item in remaining) == {(0,): 4, (1,): 4}


def test_without_quantization_images_no_image_is_excluded():
    data = NumberedDataset(3)
    assert without_quantization_images(data, 0) is data
    assert names(without_quantization_images(data, 2)) == ["2"]
