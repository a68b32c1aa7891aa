"""Teachers as a run opens them, for a student of 32x32 pixels, and in torch without a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from torch import nn

import levit
from levit.spec.preprocessing import Preprocessing
from levit.training.option_groups import TeacherOptions
from levit.training.student import Student
from levit.training.teacher import Teacher, TeacherEnsemble, build_teacher, combine_teachers, load_teacher_network
from levit.training.teacher_opening import load_teachers, open_teacher_of_run
from levit.training.teacher_process import TeacherProcess
from tests.training.tiny import CLASSES, TIMM_NETWORK, config, label_names, trained

STUDENT = Preprocessing.for_image_size((32, 32))
PIXELS = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def open_(
    name: object,
    *,
    classes: Sequence[str] = CLASSES,
    precision: str = "fp32",
    device: str = "cpu",
    num_processes: int = 1,
    **options: Any,
) -> nn.Module | TeacherProcess | None:
    """A teacher in OpenVINO, unless the options state another engine."""
    chosen = TeacherOptions(**{"teacher": str(name), "teacher_engine": "openvino", **options})
    network = trained(levit.LevitForImageClassificationWithTeacher(config(tuple(classes))))
    student = Student(network=network, preprocessing=STUDENT, classes=tuple(classes), is_multi_label=False)
    return open_teacher_of_run(
        load_teachers(chosen), chosen, student, device=torch.device(device), precision=precision,
        num_processes=num_processes,
    )  # fmt: skip


@contextmanager
def opened(name: object, **options: Any) -> Iterator[Any]:
    """A teacher as `open_` returns it, whose process ends with the context."""
    teacher = open_(name, **options)
    try:
        yield teacher
    finally:
        if isinstance(teacher, TeacherProcess):
            teacher.close()


def open_teacher(name: str, classes: Sequence[str], student: Preprocessing) -> Teacher:
    """A teacher in torch."""
    return build_teacher(name, load_teacher_network(name), classes, student)


def open_teachers(names: Sequence[str], classes: Sequence[str], student: Preprocessing) -> Teacher | TeacherEnsemble:
    """A teacher in torch, or an ensemble of several."""
    return combine_teachers([open_teacher(name, classes, student) for name in names])


def save_timm_network(folder: Path) -> Path:
    """Write a network of timm for 64 pixels, with label names in another order than the student's."""
    network = trained(timm.create_model(TIMM_NETWORK.removeprefix("timm/"), num_classes=4))
    labels = {"label_names": [*CLASSES[::-1], "emu"]}
    config_of_data = {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.25,) * 3, "crop_pct": 1.0}
    timm.models.save_for_hf(network, folder, labels, safe_serialization=True, data_config=config_of_data)
    return folder


def save_resnet(folder: Path, classes: Sequence[str] = CLASSES) -> nn.Module:
    """Write a tiny ResNet of transformers, without an image processor."""
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    shape = transformers.ResNetConfig(**sizes, **label_names(classes))
    network = trained(transformers.ResNetForImageClassification(shape))
    network.save_pretrained(folder)
    return network


def assert_close(logits: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
