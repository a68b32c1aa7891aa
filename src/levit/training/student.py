"""What learns: a LeViT with one head or two, or a network of timm; made, and saved as others read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.dialects import HEADS
from levit.checkpoints.hub import SAFETENSORS_FILE
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.transformers_configuration import (
    MULTI_LABEL,
    PREPROCESSOR_FILE,
    config_from_architecture,
    preprocessor_config,
)
from levit.data.class_matching import match_classes
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import ConfigError, DataError
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import ALL_VARIANTS, VARIANTS, find_variant
from levit.training.options import TrainingOptions
from levit.training.timm_networks import create_timm_network, is_timm_network, save_timm_network


class HeadLogits(NamedTuple):
    """Logits of the heads of a network, for a batch.

    Attributes:
        logits: [B, classes], of prediction: the mean of both heads, where there are two.
        cls_logits: [B, classes], of the head that is trained on the labels; `logits`, where there is one head.
        distillation_logits: [B, classes], of the head that is trained on a teacher; None, where there is one head.
    """

    logits: Tensor
    cls_logits: Tensor
    distillation_logits: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Student:
    """A network that learns.

    Attributes:
        network: in torch.
        preprocessing: what an image goes through before it.
        classes: its labels.
        is_multi_label: whether each of them is decided by itself.
    """

    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    is_multi_label: bool

    @property
    def image_size(self) -> Grid:
        """Height and width of its input."""
        size = self.preprocessing.output_size
        if size is None:
            raise ConfigError("the model takes images of any size: give --image-size")
        return size

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write weights, configuration and preprocessing; each file is replaced when the new one is complete.

        Args:
            folder: to write into.
            weights: a state of the network.
        """
        partial = folder / ".saving"
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        try:
            partial.mkdir(parents=True)
            self._write(partial, weights)
            for file in sorted(partial.iterdir(), reverse=True):  # the weights before the configuration
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        if isinstance(self.network, LevitForImageClassification | LevitForImageClassificationWithTeacher):
            self.network.config.architectures = [type(self.network).__name__]
            self.network.config.save_pretrained(folder)
            text = json.dumps(preprocessor_config(self.preprocessing), indent=2) + "\n"
            (folder / PREPROCESSOR_FILE).write_text(text, encoding="utf-8")
        else:
            save_timm_network(
                self.network, folder, self.preprocessing, self.image_size, self.classes,
                is_multi_label=self.is_multi_label,
            )  # fmt: skip
        arrays = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        (folder / SAFETENSORS_FILE).write_bytes(save(arrays, metadata={"format": "pt"}))


def read_logits(output: Any) -> HeadLogits:
    """The logits in what a network returns."""
    if isinstance(output, Tensor):
        return HeadLogits(output, output, None)
    distillation = getattr(output, "distillation_logits", None)
    return HeadLogits(output.logits, output.logits if distillation is None else output.cls_logits, distillation)


def build_student(options: TrainingOptions, classes: Sequence[str], *, is_multi_label: bool) -> Student:
    """The network that learns, with the weights it starts from.

    A published or own checkpoint keeps its heads where its labels are those of the data, in whatever order; otherwise
    they are new. Another image size interpolates the attention biases. What learns from whole images (`crop` is padded)
    is judged and saved with whole images.

    Args:
        options: `model`, `from_scratch`, `image_size`, `drop_path`, `crop`; two heads where there is a `teacher`.
        classes: of the data.
        is_multi_label: whether images have several labels.

    Raises:
        ConfigError: there is no such size, the stem cannot take such images, or the network has no head for a teacher.
        CheckpointError: the weights cannot be read.
    """
    if is_timm_network(options.model.model):
        if options.teacher.has_teacher:
            raise ConfigError(f"--teacher: {options.model.model} is no LeViT, which alone has a second head that it teaches")
        timms, usual, labels = create_timm_network(options, classes)
        preprocessing = _as_learned(usual, options)
        return Student(network=timms, preprocessing=preprocessing, classes=labels, is_multi_label=is_multi_label)
    checkpoint = _start(options)
    known = not options.model.from_scratch and checkpoint is not None and _are_the_same(classes, checkpoint.labels)
    labels = checkpoint.labels if checkpoint is not None and known else tuple(classes)
    config = _configure(options, checkpoint, labels, is_multi_label)
    kind = LevitForImageClassification if not options.teacher.has_teacher else LevitForImageClassificationWithTeacher
    network: nn.Module = kind(config)
    if checkpoint is not None and not options.model.from_scratch:
        _load(network, checkpoint, keeps_heads=known)
    size = config.architecture().image_height_width
    usual = checkpoint.preprocessing if checkpoint is not None else Preprocessing.for_image_size(size)
    return Student(
        network=network, preprocessing=_as_learned(usual, options), classes=labels, is_multi_label=is_multi_label
    )


def _as_learned(usual: Preprocessing, options: TrainingOptions) -> Preprocessing:
    """Whole images for what learns from whole images: an enlarged middle shows everything larger than it was."""
    return replace(usual, resize=usual.output_size) if options.augmentation.crop == "padded" else usual


def _start(options: TrainingOptions) -> Checkpoint | None:
    """The weights, or at least the architecture, of a path or name; None for a published size from scratch."""
    if options.model.from_scratch and options.model.model.lower() in ALL_VARIANTS:
        return None
    if options.model.patch_size is not None:
        raise ConfigError(f"--patch-size: {options.model.model} has its own: give a size, {', '.join(VARIANTS)}")
    checkpoint = read_checkpoint(options.model.model)
    if options.model.image_size is None:
        return checkpoint
    return resize_checkpoint(checkpoint, (options.model.image_size, options.model.image_size))


def _are_the_same(classes: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether these are the same classes, in whatever order and by whichever of their names."""
    try:
        return len(match_classes(classes, labels, "the data").class_indices) == len(labels)
    except DataError:
        return False


def _configure(
    options: TrainingOptions, checkpoint: Checkpoint | None, labels: tuple[str, ...], is_multi_label: bool
) -> LevitConfig:
    drop_path = options.model.drop_path
    values: dict[str, Any] = {"id2label": dict(enumerate(labels)), "label2id": {one: i for i, one in enumerate(labels)}}
    if is_multi_label:
        values["problem_type"] = MULTI_LABEL
    if options.teacher.has_teacher:
        values |= {
            "distillation_type": options.teacher.distillation,
            "distillation_alpha": options.teacher.alpha,
            "distillation_tau": options.teacher.tau,
        }
    if checkpoint is None:
        variant = find_variant(options.model.model)
        values["drop_path_rate"] = variant.drop_path_rate if drop_path is None else drop_path
        values["patch_size"] = options.model.patch_size or variant.patch_size
        return LevitConfig.from_variant(variant.name, image_size=options.model.image_size or 224, **values)
    architecture = config_from_architecture(checkpoint.architecture)
    del architecture["num_labels"]
    values["drop_path_rate"] = checkpoint.drop_path_rate if drop_path is None else drop_path
    return LevitConfig(**architecture, **values, initializer_range=checkpoint.initializer_range)


def _load(network: nn.Module, checkpoint: Checkpoint, *, keeps_heads: bool) -> None:
    """A checkpoint's weights; a second head that it does not have begins as the first."""
    wanted = network.state_dict()
    tensors = {}
    for name in wanted:
        source = name
        if name.startswith(HEADS):
            source = name if name in checkpoint.weights else name.replace("classifier_distill", "classifier")
        if source in checkpoint.weights and (keeps_heads or not name.startswith(HEADS)):
            tensors[name] = torch.from_numpy(checkpoint.weights[source].copy())
    network.load_state_dict(wanted | tensors)
