"""Who teaches: a network that knows the classes, frozen, on the same pixels in its own statistics and size."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.hub import find_weights
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.timm_configuration import is_timm
from levit.checkpoints.transformers_configuration import CONFIG_FILE, MODEL_TYPES
from levit.checkpoints.weight_files import read_json
from levit.data.class_matching import match_classes
from levit.errors import CheckpointError, ConfigError, DataError
from levit.model.loading import load_checkpoint
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing
from levit.training.student import read_logits
from levit.training.timm_networks import TIMM, is_timm_network, load_timm_network

# What some image processors do to pixels that size, mean and std do not say.
_STRANGE = ("do_flip_channel_order", "include_top", "rescale_offset")


class Teacher(nn.Module):
    """A network that answers and never learns: in evaluation mode whatever is asked, without gradients.

    Args:
        network: which gives logits.
        preprocessing: its mean, standard deviation and size.
        places: which of its labels each class of the student is.
        student: the preprocessing of the pixels that it will be given.
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, places: Sequence[int], student: Preprocessing
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.scale: Tensor
        self.shift: Tensor
        self.places: Tensor
        self.size = preprocessing.output_size
        own_scale, own_shift = (torch.tensor(values) for values in preprocessing.scale_and_shift())
        scale, shift = (torch.tensor(values) for values in student.scale_and_shift())
        # The student's (value - shift) / scale is the 8-bit pixel.
        self.register_buffer("scale", (own_scale / scale)[:, None, None], persistent=False)
        self.register_buffer("shift", (own_shift - shift * own_scale / scale)[:, None, None], persistent=False)
        self.register_buffer("places", torch.tensor(places), persistent=False)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> Tensor:
        """The student's pixels, float32 [B, 3, height, width] -> logits of the student's classes, [B, classes]."""
        pixels = pixel_values * self.scale + self.shift
        if self.size is not None and self.size != tuple(pixels.shape[-2:]):
            pixels = functional.interpolate(pixels, self.size, mode="bicubic", antialias=True, align_corners=False)
        return read_logits(self.network(pixels)).logits[:, self.places].float()

    def train(self, mode: bool = True) -> Teacher:
        """Stays in evaluation mode."""
        return super().train(False)


class TeacherEnsemble(nn.Module):
    """Several teachers, whose answer is the mean of their logits.

    That is the geometric mean of their scores (Hinton et al., arXiv 1503.02531, section 2).

    Args:
        teachers: of the same student.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        super().__init__()
        self.teachers = nn.ModuleList(teachers)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """The student's pixels, float32 [B, 3, height, width] -> logits of the student's classes, [B, classes]."""
        return torch.stack([teacher(pixel_values) for teacher in self.teachers]).mean(dim=0)


def hash_teacher(teacher: nn.Module | None) -> str:
    """A digest of weights; empty without a teacher."""
    if teacher is None:
        return ""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in teacher.state_dict().items():
        found.update(name.encode())
        found.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def open_teachers(names: str, classes: Sequence[str], student: Preprocessing) -> Teacher | TeacherEnsemble:
    """One teacher, or several with commas between their names; see `open_teacher`."""
    teachers = [open_teacher(name.strip(), classes, student) for name in names.split(",") if name.strip()]
    return teachers[0] if len(teachers) == 1 else TeacherEnsemble(teachers)


def open_teacher(name: str, classes: Sequence[str], student: Preprocessing) -> Teacher:
    """A teacher that knows the classes; it may know others, too.

    Args:
        name: `timm/NAME`, the path of a run or of a checkpoint, or an id of transformers on the hub.
        classes: of the student.
        student: its preprocessing.

    Raises:
        CheckpointError: the weights cannot be read or fetched.
        ConfigError: it cannot take images of its size.
        DataError: it does not know a class.
    """
    network, preprocessing, labels = load_timm_network(name) if is_timm_network(name) else _open_other(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            match = match_classes(classes, labels, "the data")
    except DataError as error:
        raise DataError(
            f"--teacher {name}: it has {len(labels)} labels, and not every class of the data is one of them "
            f"({str(error).removeprefix('the data: ').split(':')[0]}): train a teacher on this data first, "
            "levit train DATA --model timm/regnety_016 --out TEACHER"
        ) from error
    teacher = Teacher(network, preprocessing, match.class_indices, student)
    if student.output_size is not None:
        _check_size(teacher, student.output_size, name)
    return teacher


def _check_size(teacher: Teacher, size: Grid, name: str) -> None:
    try:
        teacher(torch.zeros(1, 3, *size))
    except (AssertionError, RuntimeError, ValueError) as error:  # timm's, torch's, transformers'
        height, width = teacher.size or size
        raise ConfigError(
            f"--teacher {name}: it cannot take images of {height}x{width} ({str(error).splitlines()[0][:200]})"
        ) from error


def _open_other(name: str) -> tuple[nn.Module, Preprocessing, tuple[str, ...]]:
    if _is_levit(name):
        checkpoint = read_checkpoint(name)
        return _levit(checkpoint)
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    try:
        network = AutoModelForImageClassification.from_pretrained(name, dtype=torch.float32)
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--teacher {name}: cannot be opened ({' '.join(str(error).split())[:200]})") from error
    labels = tuple(network.config.id2label[index] for index in range(network.config.num_labels))
    return network, _read_processor(processor, name), labels


def _read_processor(processor: Any, name: str) -> Preprocessing:
    """What a processor of transformers does to the values of pixels, and the size that it gives."""
    problem = next((f"does {option}" for option in _STRANGE if getattr(processor, option, False)), None)
    try:
        crops = getattr(processor, "do_center_crop", True)
        size = (crops and getattr(processor, "crop_size", None)) or processor.size
        side = size.get("shortest_edge")
        grid = (side, side) if side else (size["height"], size["width"])
        mean, std = (
            (tuple(processor.image_mean), tuple(processor.image_std)) if processor.do_normalize else (None, None)
        )
        rescale = processor.rescale_factor if processor.do_rescale else None
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"has no size, mean and std to go by ({error})"
    if problem:
        raise CheckpointError(f"--teacher {name}: its {type(processor).__name__} {problem}: use another teacher")
    return Preprocessing(resize=grid, crop=grid, rescale=rescale, mean=mean, std=std)


def _levit(checkpoint: Checkpoint) -> tuple[nn.Module, Preprocessing, tuple[str, ...]]:
    if not checkpoint.architecture.num_classifiers:
        raise CheckpointError(f"--teacher {checkpoint.source.name}: it has no head: give a model that was trained")
    return load_checkpoint(checkpoint), checkpoint.preprocessing, checkpoint.labels


def _is_levit(name: str) -> bool:
    """Whether a name means a LeViT of any dialect, and not another network of transformers."""
    path = Path(name)
    if path.exists():
        config = read_json(path / CONFIG_FILE) if path.is_dir() else {}
        return not config or is_timm(config) or config.get("model_type") in MODEL_TYPES
    if name.startswith(TIMM) or "/" not in name:
        return True
    config = read_json(find_weights(name).with_name(CONFIG_FILE))
    return is_timm(config) or config.get("model_type") in (None, *MODEL_TYPES)
