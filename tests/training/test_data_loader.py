"""Batches of preprocessed images, also where an image is unreadable."""

import gc
import os
import pickle
import signal
import sys
import threading

import numpy as np
import pytest
import torch

from levit.data.open_data import open_data
from levit.errors import DataError, ImageError, LevitError
from levit.spec.preprocessing import Preprocessing
from levit.training.augmentation import Augmentation, EvaluationTransform
from levit.training.data_loader import (
    ImageDataset,
    LoaderSettings,
    training_batches,
    validation_batches,
)
from levit.training.indexed_images import IndexedImages, index_images
from levit.training.option_groups import AugmentationOptions
from levit.training.sampler import DeterministicSampler, SampleIndex
from tests.data.datasets_on_disk import png
from tests.training.image_stores import gray_images
from tests.training.tiny import CLASSES

PREPROCESSING = Preprocessing.for_image_size((8, 8))
PLAIN = EvaluationTransform(PREPROCESSING)


def dataset_of(*levels, on_bad_image="replace", **values):
    return ImageDataset(gray_images(*levels, **values), PLAIN, on_bad_image=on_bad_image)


def sampler_of(num_images, batch_size, num_microbatches=1, seed=0):
    return DeterministicSampler(
        num_images=num_images, batch_size=batch_size, num_microbatches=num_microbatches, seed=seed
    )


def training(dataset, sampler, *, epochs=1, start=(0, 0), process=0, num_processes=1, num_workers=0):
    settings = LoaderSettings(num_workers=num_workers, process=process, num_processes=num_processes)
    return list(training_batches(dataset, sampler, settings, epochs=epochs, start=start))


def validation(dataset, *, batch_size=4, process=0, num_processes=1, num_workers=0):
    settings = LoaderSettings(num_workers=num_workers, process=process, num_processes=num_processes)
    return list(validation_batches(dataset, settings, batch_size=batch_size))


def gray_levels(batch):
    """Gray level of each image of a batch."""
    plain = torch.stack([PLAIN(png(level), SampleIndex(0, 0, 0)) for level in range(256)])[:, 0, 0, 0]
    return [int((plain - pixels[0, 0, 0]).abs().argmin()) for pixels in batch.pixel_values]


def error_names(batch_or_sample):
    return [error.source for error in batch_or_sample.errors]


def are_equal(left, right):
    return len(left) == len(right) and all(
        torch.equal(one.pixel_values, other.pixel_values)
        and torch.equal(one.targets, other.targets)
        and list(map(str, one.errors)) == list(map(str, other.errors))
        for one, other in zip(left, right, strict=True)
    )


def test_a_batch_has_pixels_and_targets_of_one_for_each_label():
    dataset = dataset_of(10, 20, 30, 40, labels=[(0,), (2,), (0, 1), ()], is_multi_label=True)
    (batch,) = validation(dataset)
    assert (batch.pixel_values.shape, batch.pixel_values.dtype) == ((4, 3, 8, 8), torch.float32)
    assert gray_levels(batch) == [10, 20, 30, 40]
    assert batch.targets.tolist() == [[1, 0, 0], [0, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert batch.errors == []


def test_training_batches_are_the_microbatches_of_the_sampler():
    sampler = sampler_of(10, 4, 2, seed=3)
    dataset = dataset_of(*range(0, 100, 10))
    for process in (0, 1):
        batches = training(dataset, sampler, epochs=2, process=process, num_processes=2)
        expected = [sampler.microbatch(epoch=epoch, step=step, index=process) for epoch in (0, 1) for step in range(3)]
        assert list(map(gray_levels, batches)) == [[10 * sample.image for sample in samples] for samples in expected]


def test_training_batches_can_start_within_an_epoch():
    sampler = sampler_of(10, 4, seed=3)
    dataset = dataset_of(*range(10))
    whole = training(dataset, sampler, epochs=3)
    assert len(whole) == 9
    assert are_equal(training(dataset, sampler, epochs=3, start=(1, 1)), whole[4:])
    assert training(dataset, sampler, epochs=3, start=(3, 0)) == []


def test_the_next_image_replaces_an_unreadable_one():
    dataset = dataset_of(10, None, None, 40, 50)
    sample, expected = dataset[SampleIndex(0, 1, 0)], dataset[SampleIndex(0, 3, 0)]
    assert torch.equal(sample.pixels, expected.pixels)
    assert (sample.labels, expected.labels, expected.errors) == ((0,), (0,), [])
    assert error_names(sample) == ["1.png", "2.png"]
    assert all(isinstance(error, ImageError) for error in sample.errors)
    assert all(error.reason and "\n" not in str(error) for error in sample.errors)


def test_the_first_image_replaces_an_unreadable_last_one():
    assert dataset_of(10, 20, None)[SampleIndex(0, 2, 0)].labels == (0,)


def test_a_replacement_is_augmented_as_itself(photos):
    class Damaged:
        def __init__(self, images):
            self._images = images

        def __len__(self):
            return len(self._images)

        def image(self, index):
            return b"no image" if index == 4 else self._images.image(index)

        def labels(self, index):
            return self._images.labels(index)

        def name(self, index):
            return self._images.name(index)

    images = index_images(open_data(photos), photos / "none", classes=CLASSES, class_indices=range(3))
    damaged = IndexedImages(Damaged(images), range(3), classes=CLASSES, is_multi_label=False)
    augment = Augmentation(AugmentationOptions(), PREPROCESSING, (8, 8), seed=0)
    replaced, whole = (ImageDataset(chosen, augment, on_bad_image="replace") for chosen in (damaged, images))
    assert torch.equal(replaced[SampleIndex(1, 4, 0)].pixels, whole[SampleIndex(1, 5, 0)].pixels)
    assert torch.equal(replaced[SampleIndex(1, 3, 0)].pixels, whole[SampleIndex(1, 3, 0)].pixels)


def test_a_training_batch_is_full_and_reports_unreadable_images():
    (batch,) = training(dataset_of(10, None, 30, 40), sampler_of(4, 4))
    assert len(batch.pixel_values) == len(batch.targets) == 4
    assert error_names(batch) == ["1.png"]
    assert sorted(gray_levels(batch)) == [10, 30, 30, 40]


def test_a_data_set_of_unreadable_images_is_an_error_that_names_the_first():
    with pytest.raises(DataError, match=r"^[012]\.png: neither it nor the 2 images after it can be read"):
        training(dataset_of(None, None, None), sampler_of(3, 2))


def test_an_unreadable_validation_image_is_skipped():
    (batch,) = validation(dataset_of(10, None, 30, on_bad_image="skip"))
    assert gray_levels(batch) == [10, 30]
    assert batch.targets.argmax(dim=1).tolist() == [0, 2]
    assert error_names(batch) == ["1.png"]


def test_a_batch_of_unreadable_images_is_empty():
    (batch,) = validation(dataset_of(None, None, on_bad_image="skip"))
    assert (len(batch.pixel_values), tuple(batch.targets.shape), len(batch.errors)) == (0, (0, 3), 2)


@pytest.mark.parametrize("load", [validation, lambda dataset: training(dataset, sampler_of(2, 2))])
def test_an_unreadable_image_that_shall_fail_is_named(load):
    with pytest.raises(DataError, match=r"^1\.png: .*repair it, or set `on_bad_image` to skip$"):
        load(dataset_of(10, None, on_bad_image="fail"))


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_all_processes_together_load_every_validation_image_once(count, num_processes):
    dataset = dataset_of(*range(count), on_bad_image="skip")
    shares = [validation(dataset, process=process, num_processes=num_processes) for process in range(num_processes)]
    levels = [level for batches in shares for batch in batches for level in gray_levels(batch)]
    assert sorted(levels) == list(range(count))
    assert all(len(batch.targets) <= 4 for batches in shares for batch in batches)


def test_validation_batches_can_be_iterated_over_again():
    batches = validation_batches(dataset_of(1, 2, 3), LoaderSettings(), batch_size=2)
    assert are_equal(list(batches), list(batches))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["none", "rand-m9-mstd0.5-inc1"])
def test_worker_processes_load_the_same_batches(parquet, tmp_path, policy):
    images = index_images(open_data(parquet), tmp_path / "copy", classes=CLASSES, class_indices=range(3))
    augment = Augmentation(AugmentationOptions(auto_augment=policy, erase=0.5), PREPROCESSING, (8, 8), seed=0)
    dataset = ImageDataset(images, augment, on_bad_image="replace")
    sampler = sampler_of(len(images), 4, seed=3)
    alone = training(dataset, sampler, epochs=2)
    np.random.seed(7)
    assert are_equal(training(dataset, sampler, epochs=2, num_workers=2), alone)
    plain = ImageDataset(images, PLAIN, on_bad_image="skip")
    assert are_equal(validation(plain, num_workers=2), validation(plain))


@pytest.mark.slow
def test_an_unreadable_image_in_a_worker_process_is_named():
    with pytest.raises(DataError, match=r"^1\.png: .*repair it, or set `on_bad_image` to skip$"):
        training(dataset_of(10, None, 30, 40, on_bad_image="fail"), sampler_of(4, 4), num_workers=1)
    gc.collect()  # the worker ends here, not during another test


class SignalTransform:
    """Transform that sends its process a signal: SIGKILL, as the system does where memory is short, or SIGSTOP."""

    def __init__(self, number):
        self._number = number

    def __call__(self, source, sample):
        os.kill(os.getpid(), self._number)


class EndlessTransform:
    """Transform that waits forever, as for a disk that does not respond."""

    def __call__(self, source, sample):
        threading.Event().wait()


needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.mark.slow
@needs_signals
def test_the_error_of_a_killed_worker_process_has_a_hint():
    dataset = ImageDataset(gray_images(1, 2), SignalTransform(signal.SIGKILL), on_bad_image="fail")
    with pytest.raises(LevitError, match=r"^DataLoader worker .*: resume with fewer `workers`") as caught:
        training(dataset, sampler_of(2, 2), num_workers=1)
    assert "\n" not in str(caught.value)
    gc.collect()


@pytest.mark.slow
@needs_signals
@pytest.mark.parametrize("kind", ["waits", "is stopped"])
def test_a_worker_process_that_finishes_no_batch_is_ended_with_an_error(kind):
    transform = EndlessTransform() if kind == "waits" else SignalTransform(signal.SIGSTOP)
    dataset = ImageDataset(gray_images(1, 2), transform, on_bad_image="fail")
    settings = LoaderSettings(num_workers=1, max_wait=1.0)
    reason = r"^the workers that load images finished no batch in 1 seconds: see whether the disk responds, or resume"
    with pytest.raises(LevitError, match=reason):
        next(iter(validation_batches(dataset, settings, batch_size=2)))
    gc.collect()


def test_a_data_set_can_be_pickled(parquet, tmp_path):
    images = index_images(open_data(parquet), tmp_path / "copy", classes=CLASSES, class_indices=range(3))
    options = AugmentationOptions(auto_augment="rand-m9-mstd0.5-inc1")
    for transform in (Augmentation(options, PREPROCESSING, (8, 8), seed=0), PLAIN):
        dataset = ImageDataset(images, transform, on_bad_image="replace")
        copy = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(copy[SampleIndex(0, 3, 0)].pixels, dataset[SampleIndex(0, 3, 0)].pixels)


def test_loading_draws_no_number_from_the_generator_of_training():
    before = torch.random.get_rng_state()
    training(dataset_of(*range(8)), sampler_of(8, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
