"""From requests to tensors, also where an image cannot be read."""

import gc
import os
import pickle

import numpy as np
import pytest
import torch

from levit.data.open_data import open_data
from levit.errors import DataError, LevitError
from levit.spec.preprocessing import Preprocessing
from levit.training.augmentation import Augmentation, EvaluationTransform
from levit.training.data_loader import ImageDataset, choose_num_workers, training_batches, validation_batches
from levit.training.indexed_images import index_images
from levit.training.sampler import DeterministicSampler, SampleIndex
from tests.data.test_labeled_images import png
from tests.training.tiny import CLASSES

PREPROCESSING = Preprocessing.for_image_size((8, 8))
PLAIN = EvaluationTransform(PREPROCESSING)


class Listed:
    """Images in a list; None is one that cannot be read."""

    def __init__(self, *values, labels=None, is_multi_label=False):
        self._values, self.classes, self.is_multi_label = values, CLASSES, is_multi_label
        self._labels = labels or [(index % 3,) for index in range(len(values))]

    def __len__(self):
        return len(self._values)

    def image(self, index):
        return b"no image" if self._values[index] is None else png(self._values[index])

    def labels(self, index):
        return self._labels[index]

    def name(self, index):
        return f"{index}.png"


def prepared(*values, fails=False, substitutes=True, **more):
    return ImageDataset(Listed(*values, **more), PLAIN, fails=fails, substitutes=substitutes)


def learned(images, order, *, classes=3, epochs=1, start=(0, 0), process=0, processes=1, workers=0):
    return list(
        training_batches(
            images, classes, order, epochs=epochs, start=start, process=process, processes=processes, workers=workers,
            pinned=False,
        )
    )  # fmt: skip


def judged(images, count, *, classes=3, batch_size=4, process=0, processes=1, workers=0):
    return list(
        validation_batches(
            images, classes, count, batch_size=batch_size, process=process, processes=processes, workers=workers,
            pinned=False,
        )
    )  # fmt: skip


def values_of(batch):
    """What gray each image of a batch is."""
    plain = torch.stack([PLAIN(png(value), SampleIndex(0, 0, 0)) for value in range(256)])[:, 0, 0, 0]
    return [int((plain - one[0, 0, 0]).abs().argmin()) for one in batch.pixel_values]


def same(left, right):
    return len(left) == len(right) and all(
        torch.equal(one.pixel_values, other.pixel_values)
        and torch.equal(one.targets, other.targets)
        and one.bad == other.bad
        for one, other in zip(left, right, strict=True)
    )


def test_a_batch_is_pixels_and_a_one_for_each_label():
    images = prepared(10, 20, 30, 40, labels=[(0,), (2,), (0, 1), ()], is_multi_label=True)
    (batch,) = judged(images, 4)
    assert (batch.pixel_values.shape, batch.pixel_values.dtype) == ((4, 3, 8, 8), torch.float32)
    assert values_of(batch) == [10, 20, 30, 40]
    assert batch.targets.tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert batch.bad == []


def test_what_is_learned_is_what_the_order_says():
    order = DeterministicSampler(num_images=10, batch_size=4, num_microbatches=2, seed=3)
    images = prepared(*range(0, 100, 10))
    for process in (0, 1):
        found = learned(images, order, epochs=2, process=process, processes=2)
        expected = [order.microbatch(epoch=epoch, step=step, index=process) for epoch in (0, 1) for step in range(3)]
        assert [values_of(batch) for batch in found] == [[10 * one.image for one in part] for part in expected]


def test_going_on_in_an_epoch_gives_the_rest_of_the_batches():
    order = DeterministicSampler(num_images=10, batch_size=4, seed=3)
    images = prepared(*range(10))
    whole = learned(images, order, epochs=3)
    assert len(whole) == 9
    assert same(learned(images, order, epochs=3, start=(1, 1)), whole[4:])
    assert learned(images, order, epochs=3, start=(3, 0)) == []


def test_in_learning_the_next_image_stands_in_for_a_bad_one():
    images = prepared(10, None, None, 40, 50)
    pixels, labels, bad, _ = images[SampleIndex(0, 1, 0)]
    expected, expected_labels, none, _ = images[SampleIndex(0, 3, 0)]
    assert torch.equal(pixels, expected)
    assert (labels, expected_labels, none) == ((0,), (0,), [])
    assert [name for name, _ in bad] == ["1.png", "2.png"]
    assert all(reason and "\n" not in reason for _, reason in bad)


def test_after_the_last_image_the_first_stands_in():
    assert prepared(10, 20, None)[SampleIndex(0, 2, 0)][1] == (0,)


def test_what_stands_in_is_augmented_as_itself(options, photos):
    class Broken:
        def __init__(self, images):
            self._images = images

        def __getattr__(self, name):
            return getattr(self._images, name)

        def __len__(self):
            return len(self._images)

        def image(self, index):
            return b"no image" if index == 4 else self._images.image(index)

    images = index_images(open_data(photos), photos / "none", classes=CLASSES, places=range(3))
    augment = Augmentation(options(), PREPROCESSING, (8, 8))
    mended, whole = (ImageDataset(one, augment, fails=False, substitutes=True) for one in (Broken(images), images))
    assert torch.equal(mended[SampleIndex(1, 4, 0)][0], whole[SampleIndex(1, 5, 0)][0])
    assert torch.equal(mended[SampleIndex(1, 3, 0)][0], whole[SampleIndex(1, 3, 0)][0])


def test_a_batch_tells_what_was_bad_and_is_full():
    order = DeterministicSampler(num_images=4, batch_size=4, seed=0)
    (batch,) = learned(prepared(10, None, 30, 40), order)
    assert len(batch.pixel_values) == len(batch.targets) == 4
    assert [name for name, _ in batch.bad] == ["1.png"]
    assert sorted(values_of(batch)) == [10, 30, 30, 40]


def test_nothing_that_can_be_read_is_an_error_that_names_one():
    with pytest.raises(DataError, match=r"^[012]\.png and 2 images after it cannot be read"):
        learned(prepared(None, None, None), DeterministicSampler(num_images=3, batch_size=2, seed=0))


def test_in_judging_a_bad_image_is_left_out():
    (batch,) = judged(prepared(10, None, 30, substitutes=False), 3)
    assert values_of(batch) == [10, 30]
    assert batch.targets.argmax(dim=1).tolist() == [0, 2]
    assert [name for name, _ in batch.bad] == ["1.png"]


def test_a_batch_of_bad_images_is_empty():
    (batch,) = judged(prepared(None, None, substitutes=False), 2)
    assert (len(batch.pixel_values), tuple(batch.targets.shape), len(batch.bad)) == (0, (0, 3), 2)


@pytest.mark.parametrize("substitutes", [False, True])
def test_where_a_bad_image_is_to_fail_it_is_named(substitutes):
    images = prepared(10, None, fails=True, substitutes=substitutes)
    order = DeterministicSampler(num_images=2, batch_size=2, seed=0)
    with pytest.raises(DataError, match=r"^1\.png: .*mend it, or use --on-bad-image skip$"):
        learned(images, order) if substitutes else judged(images, 2)


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_all_processes_together_judge_every_image_once(count, processes):
    images = prepared(*range(count), substitutes=False)
    found = [judged(images, count, process=process, processes=processes) for process in range(processes)]
    seen = [value for batches in found for batch in batches for value in values_of(batch)]
    assert sorted(seen) == list(range(count))
    assert all(len(batch.targets) <= 4 for batches in found for batch in batches)


def test_judged_images_can_be_gone_through_again():
    batches = validation_batches(prepared(1, 2, 3), 3, 3, batch_size=2, process=0, processes=1, workers=0, pinned=False)
    assert same(list(batches), list(batches))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["none", "rand-m9-mstd0.5-inc1"])
def test_processes_that_prepare_change_nothing(parquet, options, tmp_path, policy):
    images = index_images(open_data(parquet), tmp_path / "copy", classes=CLASSES, places=range(3))
    augment = Augmentation(options(auto_augment=policy, erase=0.5), PREPROCESSING, (8, 8))
    chosen = ImageDataset(images, augment, fails=False, substitutes=True)
    order = DeterministicSampler(num_images=len(images), batch_size=4, seed=3)
    alone = learned(chosen, order, epochs=2)
    np.random.seed(7)
    assert same(learned(chosen, order, epochs=2, workers=2), alone)
    plain = ImageDataset(images, PLAIN, fails=False, substitutes=False)
    assert same(judged(plain, len(images), workers=2), judged(plain, len(images)))


@pytest.mark.slow
def test_a_bad_image_is_named_by_a_process_that_prepares_too():
    images = prepared(10, None, 30, 40, fails=True)
    with pytest.raises(DataError, match=r"^1\.png: .*mend it, or use --on-bad-image skip$"):
        learned(images, DeterministicSampler(num_images=4, batch_size=4, seed=0), workers=1)
    gc.collect()  # the process ends here, and not during another test


class Dies:
    """Prepares no image, as when the system takes away its memory."""

    def __call__(self, source, request):
        os._exit(9)


@pytest.mark.slow
def test_a_process_that_dies_while_it_prepares_names_the_way_out():
    images = ImageDataset(Listed(1, 2), Dies(), fails=True, substitutes=True)
    with pytest.raises(LevitError, match=r"^DataLoader worker .*: go on by --resume with fewer --workers") as error:
        learned(images, DeterministicSampler(num_images=2, batch_size=2, seed=0), workers=1)
    assert "\n" not in str(error.value)
    gc.collect()


def test_what_prepares_images_can_be_sent_to_a_process(parquet, options, tmp_path):
    images = index_images(open_data(parquet), tmp_path / "copy", classes=CLASSES, places=range(3))
    augment = Augmentation(options(auto_augment="rand-m9-mstd0.5-inc1"), PREPROCESSING, (8, 8))
    for prepare in (augment, PLAIN):
        chosen = ImageDataset(images, prepare, fails=False, substitutes=True)
        sent = pickle.loads(pickle.dumps(chosen))
        assert torch.equal(sent[SampleIndex(0, 3, 0)][0], chosen[SampleIndex(0, 3, 0)][0])


def test_loading_draws_no_random_number():
    before = torch.random.get_rng_state()
    learned(prepared(*range(8)), DeterministicSampler(num_images=8, batch_size=4, seed=0))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("cores", "processes", "on_cpu", "expected"),
    [(2, 1, True, 0), (4, 2, True, 0), (16, 1, True, 15), (2, 1, False, 2), (16, 8, False, 2), (1, 2, False, 1)],
)  # fmt: skip
def test_the_number_of_processes_that_prepare_follows_from_the_cores(
    options, monkeypatch, cores, processes, on_cpu, expected
):
    monkeypatch.setattr("levit.training.data_loader.usable_cores", lambda: cores)
    assert choose_num_workers(options(), processes, on_cpu=on_cpu) == expected
    assert choose_num_workers(options(workers=3), processes, on_cpu=on_cpu) == 3
