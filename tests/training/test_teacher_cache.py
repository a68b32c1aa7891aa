"""Logits of a teacher that are computed once for each augmentation of each image."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from timm.data import Mixup
from torch import nn

from levit.errors import LevitError
from levit.training.data_loader import Batch, ImageDataset
from levit.training.losses import Loss
from levit.training.microbatches import MicrobatchPreparation
from levit.training.option_groups import TeacherOptions
from levit.training.sampler import SampleIndex
from levit.training.student import HeadLogits
from levit.training.teacher_cache import CachedTeacher, CacheShape, NetworkTeacher, create_cache_file
from tests.training.image_stores import gray_images

SHAPE = CacheShape(images=6, views=2, classes=3)
CPU = torch.device("cpu")


class CountingTeacher(nn.Module):
    """A linear teacher that counts the images that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn(3 * 8 * 8, 3, generator=torch.Generator().manual_seed(0))
        self.images = 0

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        self.images += len(pixel_values)
        return pixel_values.flatten(1) @ self.weight


def open_cache(tmp_path, teacher=None, *identity):
    file = create_cache_file(tmp_path, SHAPE, *identity)
    return CachedTeacher(NetworkTeacher(teacher or CountingTeacher(), autocast=nullcontext), file, SHAPE)


def batch_of(*samples, seed=0):
    pixels = torch.randn(len(samples), 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(pixels, torch.eye(3)[[image % 3 for image, _ in samples]], [], torch.tensor(samples))


def logits_of(cached, batch):
    cached.submit(batch.samples, batch.pixel_values)
    return cached.collect(batch.samples)


def test_logits_are_computed_once_and_rounded_the_first_time_too(tmp_path):
    teacher = CountingTeacher()
    cached = open_cache(tmp_path, teacher)
    batch = batch_of((0, 0), (5, 0), (3, 1), (0, 1))
    first = logits_of(cached, batch)
    expected = batch.pixel_values.flatten(1) @ teacher.weight
    assert teacher.images == 4
    assert torch.equal(first, expected.half().float())
    assert torch.equal(logits_of(cached, batch), first)
    assert teacher.images == 4


def test_only_the_missing_logits_are_computed(tmp_path):
    teacher = CountingTeacher()
    cached = open_cache(tmp_path, teacher)
    first = logits_of(cached, batch_of((0, 0), (1, 0)))
    both = logits_of(cached, batch_of((1, 0), (2, 0), (0, 0), (1, 1), seed=1))
    assert teacher.images == 4
    assert torch.equal(both[[2, 0]], first)


def test_batches_may_be_submitted_ahead(tmp_path):
    cached = open_cache(tmp_path)
    batches = [batch_of((0, 0), (1, 0)), batch_of((2, 0), (0, 0), seed=1)]
    for batch in batches:
        cached.submit(batch.samples, batch.pixel_values)
    ahead = [cached.collect(batch.samples) for batch in batches]
    for batch, logits in zip(batches, ahead, strict=True):
        assert torch.equal(logits, (batch.pixel_values.flatten(1) @ CountingTeacher().weight).half().float())


def test_the_file_keeps_the_logits_for_a_resumed_run(tmp_path):
    batch = batch_of((0, 0), (4, 1))
    first = logits_of(open_cache(tmp_path), batch)
    teacher = CountingTeacher()
    assert torch.equal(logits_of(open_cache(tmp_path, teacher), batch), first)
    assert teacher.images == 0


def test_a_row_that_is_on_the_disk_in_part_is_computed_again(tmp_path):
    """As after a power loss: the logits of one image are missing, and the checksum of another one."""
    batch = batch_of((0, 0), (4, 1), (5, 1))
    first = logits_of(open_cache(tmp_path), batch)
    (file,) = tmp_path.glob(".teacher/*")
    rows = np.fromfile(file, np.uint16).reshape(SHAPE.images, SHAPE.views, SHAPE.classes + 1)
    rows[0, 0, 1] = 0
    rows[4, 1, -1] = 0
    rows.tofile(file)
    teacher = CountingTeacher()
    assert torch.equal(logits_of(open_cache(tmp_path, teacher), batch), first)
    assert teacher.images == 2


def test_another_teacher_or_augmentation_has_another_file(tmp_path):
    batch = batch_of((0, 0), (4, 1))
    logits_of(open_cache(tmp_path, None, "teacher", 0.5), batch)
    teacher = CountingTeacher()
    logits_of(open_cache(tmp_path, teacher, "teacher", 0.4), batch)
    assert teacher.images == 2
    assert len(list(tmp_path.glob(".teacher/*"))) == 1  # the first one is deleted


def test_a_damaged_file_and_a_folder_that_cannot_be_written_are_errors_in_one_line(tmp_path):
    file = create_cache_file(tmp_path, SHAPE)
    file.write_bytes(b"short")
    with pytest.raises(LevitError, match=r"^[^\n]*logits-[^\n]*is damaged[^\n]*delete it[^\n]*$"):
        CachedTeacher(NetworkTeacher(CountingTeacher(), autocast=nullcontext), file, SHAPE)
    (tmp_path / "file").write_text("")
    with pytest.raises(LevitError, match=r"^[^\n]*cannot write the logits of the teacher, 0 MB[^\n]*$"):
        create_cache_file(tmp_path / "file", SHAPE)


def test_scores_are_mixed_like_labels(tmp_path):
    batch = batch_of((0, 0), (1, 0), (2, 0), (3, 0))
    scores = logits_of(open_cache(tmp_path, None, "plain"), batch).softmax(dim=1)
    mixup = Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=6, multi_label=True)
    preparation = MicrobatchPreparation(
        mixup=mixup, teacher=open_cache(tmp_path), device=CPU, seed=0, accumulate=1
    )  # fmt: skip
    (mixed,) = preparation(
        iter([batch._replace(pixel_values=batch.pixel_values.clone())]), epoch=0, step=0, steps_per_epoch=1
    )
    labels, flipped = batch.targets, batch.targets.flip(0)
    share = float(mixed.targets[1, 1])  # image 1 is mixed with image 2
    assert 0 < share < 1
    torch.testing.assert_close(mixed.targets, share * labels + (1 - share) * flipped)
    torch.testing.assert_close(
        mixed.pixel_values, share * batch.pixel_values + (1 - share) * batch.pixel_values.flip(0)
    )
    assert scores.min() < 1e-12
    torch.testing.assert_close(mixed.teacher_logits, (share * scores + (1 - share) * scores.flip(0)).log())


def test_the_logarithm_of_a_mixture_without_any_score_of_a_class_is_finite(tmp_path):
    batch = batch_of((0, 0), (1, 0))
    batch = batch._replace(pixel_values=batch.pixel_values * 100)
    assert (logits_of(open_cache(tmp_path, None, "plain"), batch).softmax(dim=1) == 0).all(dim=0).any()
    mixup = Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=6, multi_label=True)
    preparation = MicrobatchPreparation(
        mixup=mixup, teacher=open_cache(tmp_path), device=CPU, seed=0, accumulate=1
    )  # fmt: skip
    (mixed,) = preparation(iter([batch]), epoch=0, step=0, steps_per_epoch=1)
    assert mixed.teacher_logits.isfinite().all()


@pytest.mark.parametrize("is_multi_label", [False, True])
@pytest.mark.parametrize("mix_share", [None, 0.0])
def test_without_mixing_the_logits_are_exact(tmp_path, mix_share, is_multi_label):
    batch = batch_of((0, 0), (1, 0))
    batch = batch._replace(pixel_values=batch.pixel_values * 20)
    logits = logits_of(open_cache(tmp_path, None, "plain"), batch)
    assert (logits.softmax(dim=1) == 0).any()
    mixup = None
    if mix_share is not None:
        mixup = Mixup(mixup_alpha=1.0, prob=mix_share, label_smoothing=0.0, num_classes=6, multi_label=True)
    preparation = MicrobatchPreparation(
        mixup=mixup, teacher=open_cache(tmp_path), device=CPU, seed=0, accumulate=1, is_multi_label=is_multi_label
    )  # fmt: skip
    (microbatch,) = preparation(iter([batch]), epoch=0, step=0, steps_per_epoch=1)
    assert torch.equal(microbatch.teacher_logits, logits)
    assert torch.equal(microbatch.targets, batch.targets)


def test_without_mixing_the_loss_is_that_of_the_logits(tmp_path):
    batch = batch_of((0, 0), (1, 0))
    logits = logits_of(open_cache(tmp_path, None, "plain"), batch)
    preparation = MicrobatchPreparation(
        mixup=None, teacher=open_cache(tmp_path), device=CPU, seed=0, accumulate=1
    )  # fmt: skip
    (microbatch,) = preparation(iter([batch]), epoch=0, step=0, steps_per_epoch=1)
    loss = Loss(
        label_smoothing=0.0, class_weights=None, is_multi_label=False,
        distillation=TeacherOptions(teacher="run", distillation="soft", tau=2.0),
    )  # fmt: skip
    student = HeadLogits(*(torch.randn(2, 3) for _ in range(3)))
    torch.testing.assert_close(
        loss(student, batch.targets, microbatch.teacher_logits), loss(student, batch.targets, logits)
    )


@pytest.mark.parametrize("distillation", ["hard", "soft"])
def test_scores_of_several_labels_are_independent(tmp_path, distillation):
    batch = batch_of(*((image, 0) for image in range(6)))
    batch = batch._replace(pixel_values=batch.pixel_values / 10)  # so that no score is within the margin
    logits = logits_of(open_cache(tmp_path, None, "plain"), batch)
    assert (logits > 0).sum(dim=1).max() > 1
    preparation = MicrobatchPreparation(
        mixup=None, teacher=open_cache(tmp_path), device=CPU, seed=0, accumulate=1, is_multi_label=True
    )  # fmt: skip
    (microbatch,) = preparation(iter([batch]), epoch=0, step=0, steps_per_epoch=1)
    loss = Loss(
        label_smoothing=0.0, class_weights=None, is_multi_label=True,
        distillation=TeacherOptions(teacher="run", distillation=distillation),
    )  # fmt: skip
    student = HeadLogits(*(torch.randn(6, 3) for _ in range(3)))
    torch.testing.assert_close(
        loss(student, batch.targets, microbatch.teacher_logits), loss(student, batch.targets, logits)
    )


class _SampleOfPixels:
    """A transform whose pixels are the numbers of the sample."""

    def __call__(self, source: object, sample: SampleIndex) -> torch.Tensor:
        return torch.tensor(sample)


def test_the_augmentations_of_an_image_take_turns():
    dataset = ImageDataset(gray_images(10, 20), _SampleOfPixels(), on_bad_image="fail", views=2)
    samples = [dataset[SampleIndex(epoch, 1, 0)] for epoch in range(4)]
    assert [sample.pixels.tolist() for sample in samples] == [[0, 1, 0], [1, 1, 0]] * 2
    assert [(sample.image, sample.view) for sample in samples] == [(1, 0), (1, 1)] * 2
    repeated = [dataset[SampleIndex(0, 1, repeat)].view for repeat in range(3)]
    assert repeated == [0, 1, 0]
