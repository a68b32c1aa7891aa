"""Student: the network that is trained, its initial weights, and its checkpoint files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from levit.checkpoints.attention_masks import read_masks, with_masks
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.dialects import HEADS
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.transformers_configuration import (
    CONFIG_FILE,
    MULTI_LABEL,
    PREPROCESSOR_FILE,
    config_from_architecture,
    preprocessor_config,
)
from levit.checkpoints.vitcod_files import read_vitcod_masks
from levit.checkpoints.weight_names import SAFETENSORS_FILE
from levit.data.class_matching import are_same_classes
from levit.data.imagenet_names import readable_names
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import ConfigError
from levit.files import updating_folder
from levit.model.config import LevitConfig
from levit.model.image_classification import LevitForImageClassification, LevitForImageClassificationWithTeacher
from levit.spec.architecture import Grid
from levit.spec.blocks import MASK
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import ALL_VARIANTS, VARIANTS, find_variant
from levit.training.head_autoencoders import (
    VITCOD_FILE,
    add_head_autoencoders,
    find_head_autoencoders,
    fold_head_autoencoders,
    write_vitcod_checkpoint,
)
from levit.training.option_groups import ModelOptions, TeacherOptions
from levit.training.timm_networks import ClassificationNetwork, create_timm_network, is_timm_network, write_timm_config


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
    """Network that is trained.

    Attributes:
        network: a LeViT with one head or two, or a timm network.
        preprocessing: preprocessing of its images.
        classes: its labels.
        is_multi_label: whether an image may have any number of labels.
        has_new_heads: whether its heads have random weights, and the rest of a LeViT trained ones.
    """

    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    is_multi_label: bool
    has_new_heads: bool = False

    @property
    def image_size(self) -> Grid:
        """Height and width of the input in pixels.

        Raises:
            ConfigError: the preprocessing has no fixed size.
        """
        size = self.preprocessing.output_size
        if size is None:
            raise ConfigError("the model takes images of any size", hint="give `image_size`")
        return size

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write weights, configuration and preprocessing; each file is replaced atomically, the configuration last.

        Args:
            folder: folder of the checkpoint, which is created.
            weights: a state dict of the network.
        """
        folded = fold_head_autoencoders(weights)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in folded.items()}
        with updating_folder(folder, last=(CONFIG_FILE,)) as partial:
            if isinstance(self.network, LevitForImageClassification | LevitForImageClassificationWithTeacher):
                self.network.config.architectures = [type(self.network).__name__]
                self.network.config.save_pretrained(partial)
                text = json.dumps(preprocessor_config(self.preprocessing), indent=2) + "\n"
                (partial / PREPROCESSOR_FILE).write_text(text, encoding="utf-8")
            else:
                network = ClassificationNetwork(self.network, self.preprocessing, self.classes)
                write_timm_config(network, partial, self.image_size, is_multi_label=self.is_multi_label)
            # Not by safetensors' save_file, which makes the file readable by its owner only.
            (partial / SAFETENSORS_FILE).write_bytes(save(tensors, metadata={"format": "pt"}))
            if find_head_autoencoders(self.network):
                write_vitcod_checkpoint(partial / VITCOD_FILE, self.network, weights)


def read_logits(output: Any) -> HeadLogits:
    """Read the logits from the output of a network of transformers, timm or this package."""
    if isinstance(output, Tensor):
        return HeadLogits(output, output, None)
    distillation = getattr(output, "distillation_logits", None)
    return HeadLogits(output.logits, output.logits if distillation is None else output.cls_logits, distillation)


def build_student(
    options: ModelOptions, teacher: TeacherOptions, classes: Sequence[str], *, crop: str, is_multi_label: bool
) -> Student:
    """Build the network that is trained, with its initial weights.

    A checkpoint keeps its heads, if it has any and its labels are the classes, in any order and by any of their names;
    otherwise the heads are new. Labels that are WordNet ids of ImageNet become names; see `readable_names`. Attention
    biases are interpolated to another image size. A network that is trained on whole images (`crop` is "padded") is
    evaluated and saved with a preprocessing that does not crop.

    Args:
        options: name or path of the network, image size, patch size and drop path rate.
        teacher: distillation; with a teacher the network has two heads, and also where both heads of the checkpoint
            are kept.
        classes: classes of the training set, or of the teacher.
        crop: crop of the augmentation.
        is_multi_label: whether an image may have any number of labels.

    Raises:
        ConfigError: an option does not fit the network, or a network without a second head has a teacher.
        CheckpointError: the weights cannot be read.
    """
    has_new_heads = False
    if is_timm_network(options.model):
        for name in ("attention_mask", "head_autoencoders", "new_heads"):
            if getattr(options, name) not in (None, False, "random"):
                reason = f"is not for {options.model}, which is not a LeViT"
                raise ConfigError(reason, source=name, hint=f"leave out `{name}`")
        if teacher.has_teacher:
            reason = f"{options.model} is not a LeViT, and only a LeViT has a distillation head"
            raise ConfigError(reason, source="teacher", hint="leave out `teacher`")
        network, preprocessing, labels = create_timm_network(options, classes)
        labels = readable_names(labels)
    else:
        built, has_new_heads = _build_levit(options, teacher, tuple(classes), is_multi_label=is_multi_label)
        network, preprocessing, labels = built
    if crop == "padded":  # resizing to a larger size and cropping would enlarge every object
        preprocessing = replace(preprocessing, resize=preprocessing.output_size)
    return Student(
        network=network, preprocessing=preprocessing, classes=labels, is_multi_label=is_multi_label,
        has_new_heads=has_new_heads,
    )  # fmt: skip


def _build_levit(
    options: ModelOptions, teacher: TeacherOptions, classes: tuple[str, ...], *, is_multi_label: bool
) -> tuple[ClassificationNetwork, bool]:
    """Network, preprocessing and labels, and whether only its heads are new."""
    if options.new_heads != "random" and is_multi_label:
        reason = f"is {options.new_heads!r}, which needs one label for each image"
        raise ConfigError(reason, source="new_heads", hint="leave it out")
    checkpoint = _read_checkpoint(options)
    keeps_heads = False
    if checkpoint is not None and not options.from_scratch:
        has_heads = checkpoint.architecture.num_classifiers > 0  # otherwise its labels describe no weights
        keeps_heads = has_heads and are_same_classes(classes, checkpoint.labels)
        classes = checkpoint.labels if keeps_heads else classes
    classes = readable_names(classes)
    settings = _label_settings(classes, is_multi_label=is_multi_label) | _distillation_settings(teacher)
    config = _configure(options, checkpoint, settings)
    keeps_both = checkpoint is not None and keeps_heads and checkpoint.architecture.num_classifiers == 2
    has_two_heads = teacher.has_teacher or keeps_both  # without a teacher, both are trained on the labels
    network = (LevitForImageClassificationWithTeacher if has_two_heads else LevitForImageClassification)(config)
    if checkpoint is not None and not options.from_scratch:
        _load_weights(network, checkpoint, keeps_heads=keeps_heads)
    if options.head_autoencoders:
        add_head_autoencoders(network)
    if checkpoint is None:
        size = config.architecture().image_height_width
        return ClassificationNetwork(network, Preprocessing.for_image_size(size), classes), False
    has_new_heads = not keeps_heads and not options.from_scratch
    return ClassificationNetwork(network, checkpoint.preprocessing, classes), has_new_heads


def _read_checkpoint(options: ModelOptions) -> Checkpoint | None:
    """The weights, or at least the architecture, of a path or name; None for a published size from scratch."""
    if options.from_scratch and options.model.lower() in ALL_VARIANTS:
        return None
    if options.patch_size is not None:
        hint = f"use a published size: {', '.join(VARIANTS)}"
        raise ConfigError(f"is fixed in {options.model}", source="patch_size", hint=hint)
    checkpoint = read_checkpoint(options.model)
    if options.image_size is not None:
        checkpoint = resize_checkpoint(checkpoint, (options.image_size, options.image_size))
    if options.from_scratch:  # masks are those of trained weights
        return replace(checkpoint, **_without_masks(checkpoint))
    return checkpoint if options.attention_mask is None else _add_masks(checkpoint, options.attention_mask)


def _without_masks(checkpoint: Checkpoint) -> dict[str, Any]:
    """Fields of a checkpoint without its attention masks."""
    return {
        "architecture": replace(checkpoint.architecture, has_attention_masks=False),
        "weights": {name: array for name, array in checkpoint.weights.items() if not name.endswith(f".{MASK}")},
    }


def _add_masks(checkpoint: Checkpoint, path: str) -> Checkpoint:
    """Add the masks in a file of `levit sparsify`, or in a folder of ViTCoD."""
    is_folder = Path(path).is_dir()
    masks = read_vitcod_masks(path, checkpoint.architecture) if is_folder else read_masks(path)
    return with_masks(checkpoint, masks, path)


def _label_settings(labels: Sequence[str], *, is_multi_label: bool) -> dict[str, Any]:
    """Fields of the configuration that describe the labels."""
    settings: dict[str, Any] = {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    return settings | {"problem_type": MULTI_LABEL} if is_multi_label else settings


def _distillation_settings(teacher: TeacherOptions) -> dict[str, Any]:
    """Fields of the configuration that describe distillation; empty without a teacher."""
    if not teacher.has_teacher:
        return {}
    return {
        "distillation_type": teacher.distillation,
        "distillation_alpha": teacher.alpha,
        "distillation_tau": teacher.tau,
    }


def _configure(options: ModelOptions, checkpoint: Checkpoint | None, settings: Mapping[str, Any]) -> LevitConfig:
    """Configuration of a published size, or of the architecture of a checkpoint."""
    if checkpoint is None:
        variant = find_variant(options.model)
        return LevitConfig.from_variant(
            variant.name,
            image_size=options.image_size or 224,
            patch_size=options.patch_size or variant.patch_size,
            drop_path_rate=variant.drop_path_rate if options.drop_path is None else options.drop_path,
            **settings,
        )
    architecture = config_from_architecture(checkpoint.architecture)
    del architecture["num_labels"]
    return LevitConfig(
        **architecture,
        drop_path_rate=checkpoint.drop_path_rate if options.drop_path is None else options.drop_path,
        initializer_range=checkpoint.initializer_range,
        **settings,
    )


def _load_weights(network: nn.Module, checkpoint: Checkpoint, *, keeps_heads: bool) -> None:
    """Load the weights of a checkpoint; a distillation head that it lacks starts as a copy of its classifier."""
    state = network.state_dict()
    tensors = {}
    for name in state:
        source = name
        if name.startswith(HEADS):
            source = name if name in checkpoint.weights else name.replace("classifier_distill", "classifier")
        if source in checkpoint.weights and (keeps_heads or not name.startswith(HEADS)):
            tensors[name] = torch.from_numpy(checkpoint.weights[source].copy())
    network.load_state_dict(state | tensors)
