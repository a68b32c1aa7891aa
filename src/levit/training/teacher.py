"""Frozen distillation teacher: a trained network of any library, applied to the pixels of the student."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.timm_configuration import is_timm
from levit.checkpoints.transformers_configuration import CONFIG_FILE, MODEL_TYPES
from levit.checkpoints.weight_lookup import find_weights
from levit.data.class_matching import match_classes
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import CheckpointError, ConfigError, DataError, first_line
from levit.model.loading import load_checkpoint
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing
from levit.training.student import read_logits
from levit.training.timm_networks import TIMM_PREFIX, ClassificationNetwork, is_timm_network, load_timm_network
from levit.training.transformers_networks import load_transformers_network


class Teacher(nn.Module):
    """Frozen distillation teacher.

    It is always in evaluation mode and has no gradients. It converts the student's pixels to its own mean, standard
    deviation and size, so that both networks see the same augmented image.

    Args:
        network: image classification network.
        preprocessing: mean, standard deviation and size of its pixels.
        class_indices: for each class of the student, the index of the teacher's label of the same name.
        student: preprocessing of the student.
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, class_indices: Sequence[int], student: Preprocessing
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.scale: Tensor
        self.shift: Tensor
        self.class_indices: Tensor
        self.size = preprocessing.output_size
        own_scale, own_shift = (torch.tensor(values) for values in preprocessing.scale_and_shift())
        scale, shift = (torch.tensor(values) for values in student.scale_and_shift())
        # The student's (value - shift) / scale is the 8-bit pixel.
        self.register_buffer("scale", (own_scale / scale)[:, None, None], persistent=False)
        self.register_buffer("shift", (own_shift - shift * own_scale / scale)[:, None, None], persistent=False)
        self.register_buffer("class_indices", torch.tensor(class_indices), persistent=False)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> Tensor:
        """Compute logits of the student's classes.

        Args:
            pixel_values: float32 [B, 3, height, width], normalized for the student.

        Returns:
            float32 [B, classes].
        """
        pixels = pixel_values * self.scale + self.shift
        if self.size is not None and self.size != tuple(pixels.shape[-2:]):
            pixels = functional.interpolate(pixels, self.size, mode="bicubic", antialias=True, align_corners=False)
        return read_logits(self.network(pixels)).logits[:, self.class_indices].float()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        return super().train(False)


class TeacherEnsemble(nn.Module):
    """Ensemble of teachers of one student: the mean of their logits.

    That is the geometric mean of their scores (Hinton et al., arXiv 1503.02531, section 2).

    Args:
        teachers: the teachers.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Compute logits of the student's classes; see `Teacher.forward`."""
        return torch.stack([teacher(pixel_values) for teacher in self.teachers]).mean(dim=0)


def combine_teachers(teachers: Sequence[Teacher]) -> Teacher | TeacherEnsemble:
    """Combine teachers into one; a single teacher is returned as it is."""
    return teachers[0] if len(teachers) == 1 else TeacherEnsemble(teachers)


def load_teacher_network(name: str, image_size: int | None = None) -> ClassificationNetwork:
    """Load the network of a teacher.

    Args:
        name: `timm/NAME`, the path of a run or of a checkpoint, or a model ID of transformers on the hub.
        image_size: height and width of its input in pixels, to which the attention biases of a LeViT are interpolated;
            None for its own.

    Raises:
        CheckpointError: the weights cannot be read or downloaded.
    """
    return load_timm_network(name) if is_timm_network(name) else _load_network(name, image_size)


def build_teacher(
    name: str,
    network: ClassificationNetwork,
    classes: Sequence[str],
    student: Preprocessing,
    *,
    image_size: int | None = None,
) -> Teacher:
    """Build a teacher whose labels include the classes.

    Args:
        name: name of the teacher, for errors.
        network: its network.
        classes: classes of the student.
        student: preprocessing of the student.
        image_size: height and width of the teacher's input in pixels; None for its own.

    Raises:
        CheckpointError: its logits are not finite.
        ConfigError: the teacher cannot take images of its size.
        DataError: a class is not among its labels.
    """
    class_indices = match_teacher_classes(name, classes, network.labels)
    preprocessing = resize_preprocessing(network.preprocessing, image_size)
    teacher = Teacher(network.network, preprocessing, class_indices, student)
    if student.output_size is not None:
        _check_size(teacher, student.output_size, name)
    return teacher


def match_teacher_classes(name: str, classes: Sequence[str], labels: Sequence[str]) -> tuple[int, ...]:
    """For each class of the student, the index of the teacher's label.

    Raises:
        DataError: a class is not among the labels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return match_classes(classes, labels, "the data").class_indices
    except DataError as error:
        raise DataError(
            f"not every class of the data is one of its {len(labels)} labels ({error.reason})",
            source=teacher_source(name),
            hint="name the classes as it does, or train a teacher on this data first: "
            "levit train DATA --model timm/regnety_016 --out TEACHER",
        ) from error


def resize_preprocessing(preprocessing: Preprocessing, image_size: int | None) -> Preprocessing:
    """Preprocessing with another output size; None keeps it."""
    if image_size is None:
        return preprocessing
    return replace(preprocessing, resize=(image_size, image_size), crop=(image_size, image_size))


def teacher_source(name: str) -> str:
    """Source of errors: the parameter and its value."""
    return f"`teacher` {name}"


def _check_size(teacher: Teacher, size: Grid, name: str) -> None:
    try:
        logits = teacher(torch.zeros(1, 3, *size))
    except (AssertionError, RuntimeError, ValueError) as error:  # of timm, torch and transformers
        height, width = teacher.size or size
        reason = f"it cannot take images of {height}x{width} ({first_line(error)})"
        raise ConfigError(reason, source=teacher_source(name)) from error
    if not logits.isfinite().all():
        raise CheckpointError("its logits are not finite", source=teacher_source(name), hint="use another teacher")


def _load_network(name: str, image_size: int | None) -> ClassificationNetwork:
    """Load a LeViT of any dialect, or another network of transformers."""
    if _is_levit(name):
        checkpoint = read_checkpoint(name)
        if not checkpoint.architecture.num_classifiers:
            raise CheckpointError("it has no head", source=teacher_source(name), hint="give a trained classifier")
        if image_size is not None:
            checkpoint = resize_checkpoint(checkpoint, (image_size, image_size))
        return ClassificationNetwork(load_checkpoint(checkpoint), checkpoint.preprocessing, checkpoint.labels)
    return load_transformers_network(name, teacher_source(name))


def _is_levit(name: str) -> bool:
    """Return whether a name refers to a LeViT of any dialect, not to another network of transformers."""
    path = Path(name)
    if path.exists():
        config = read_json(path / CONFIG_FILE) if path.is_dir() else {}
        return not config or is_timm(config) or config.get("model_type") in MODEL_TYPES
    if name.startswith(TIMM_PREFIX) or "/" not in name:
        return True
    config = read_json(find_weights(name).with_name(CONFIG_FILE))
    return is_timm(config) or config.get("model_type") in (None, *MODEL_TYPES)
