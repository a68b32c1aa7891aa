"""Reading and writing of transformers' config.json and preprocessor_config.json."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.image_processor_types import ImageProcessorType, image_processor_type
from levit.checkpoints.training_fields import MULTI_LABEL as MULTI_LABEL
from levit.errors import ConfigError, LevitWarning
from levit.spec.architecture import Architecture, Downsample, Grid
from levit.spec.architecture_fields import STAGE_FIELDS
from levit.spec.distillation import DISTILLATION_DEFAULTS
from levit.spec.field_values import check_flag, check_integer, check_number, is_integer, is_number, plain, shown
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"

# The second is written for networks that stock transformers would compute wrongly, so that it rejects them.
MODEL_TYPES = ("levit", "levit_extended")

JsonObject = Mapping[str, Any]

# transformers documents two fields in the plural and reads them in the singular; both are read here.
FIELD_ALIASES = {"mlp_ratios": "mlp_ratio", "attention_ratios": "attention_ratio"}

_MAX_LABELS = 1_000_000  # names are made for them

# Fields of networks that stock transformers does not have, with their default values, which are not written.
EXTENDED_FIELDS: dict[str, Any] = {
    "stem_activation": None,
    "attention_activation": None,
    "stem_channels": None,
    "stem_batch_norm": True,
    "mlp_batch_norm": True,
    "head_batch_norm": True,
    "has_attention_masks": False,
}

SCALAR_FIELDS = ("num_channels", "kernel_size", "stride", "padding", "patch_size", "activation", *EXTENDED_FIELDS)


def architecture_from_config(config: JsonObject, *, num_classifiers: int) -> Architecture:
    """Architecture of a transformers configuration; absent fields have the documented defaults.

    Args:
        config: content of a config.json.
        num_classifiers: number of heads, which the configuration does not contain.

    Raises:
        ConfigError: a field is invalid.
    """
    config = {FIELD_ALIASES.get(name, name): plain(value) for name, value in config.items()}
    values: dict[str, Any] = {name: config[name] for name in SCALAR_FIELDS if name in config}
    values |= {name: _stage_values(name, config[name]) for name in STAGE_FIELDS if name in config}
    if isinstance(values.get("patch_size"), list | tuple):
        values["patch_size"] = _equal_patch_size(values["patch_size"])
    if "image_size" in config:
        size = config["image_size"]
        values["image_size"] = tuple(size) if isinstance(size, list | tuple) else size
    if config.get("down_ops"):
        values["downsamples"] = _downsamples(config["down_ops"])
    return Architecture(num_labels=count_labels(config), num_classifiers=num_classifiers, **values)  # type: ignore[arg-type]


def config_from_architecture(architecture: Architecture) -> dict[str, Any]:
    """Fields of a transformers configuration for an architecture: the inverse of `architecture_from_config`.

    `num_labels` replaces the labels, which the file contains as `id2label`.
    """
    height, width = architecture.image_height_width
    values: dict[str, Any] = {name: getattr(architecture, name) for name in SCALAR_FIELDS}
    values |= {name: list(getattr(architecture, name)) for name in STAGE_FIELDS}
    values |= {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
    values["image_size"] = height if height == width else [height, width]
    values["down_ops"] = [
        ["Subsample", down.key_dim, down.num_attention_heads, down.attention_ratio, down.mlp_ratio, down.stride]
        for down in architecture.downsamples or ()
    ]
    values["num_labels"] = architecture.num_labels
    return values


def config_from_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Content of the config.json that transformers writes for a checkpoint."""
    values = config_from_architecture(checkpoint.architecture)
    for name in ("num_labels", "activation", *EXTENDED_FIELDS):
        del values[name]
    heads = ("LevitModel", "LevitForImageClassification", "LevitForImageClassificationWithTeacher")
    drop_path = {"levit_drop_path_rate": checkpoint.drop_path_rate} if checkpoint.drop_path_rate else {}
    problem = MULTI_LABEL if checkpoint.is_multi_label else checkpoint.problem_type
    distillation = {name: getattr(checkpoint, name) for name in DISTILLATION_DEFAULTS}
    return {
        "architectures": [heads[checkpoint.architecture.num_classifiers]],
        "model_type": MODEL_TYPES[0],
        **values,
        **drop_path,
        "drop_path_rate": 0,  # stock transformers accepts only integers
        "initializer_range": checkpoint.initializer_range,
        **({"problem_type": problem} if problem else {}),
        **{name: value for name, value in distillation.items() if value != DISTILLATION_DEFAULTS[name]},
        "dtype": "float32",
        "id2label": {str(number): name for number, name in enumerate(checkpoint.labels)},
        "label2id": {name: number for number, name in enumerate(checkpoint.labels)},
    }


def is_supported_by_transformers(architecture: Architecture) -> bool:
    """Return whether stock transformers computes this network correctly."""
    height, width = architecture.image_height_width
    ratios = [*architecture.mlp_ratio, *architecture.attention_ratio]
    for downsample in architecture.downsamples or ():
        ratios += [downsample.attention_ratio, downsample.mlp_ratio]
    return (
        architecture.activation == "hardswish"
        and architecture.has_layers_of_paper
        and not architecture.has_attention_masks
        and architecture.num_stages == 3
        and (architecture.patch_size, architecture.stride) == (16, 2)
        and height == width
        and architecture.stem_grids[-1] == (height // 16, width // 16)  # stock assumes this grid
        and all(isinstance(ratio, int) for ratio in ratios)
    )


def preprocessor_config(preprocessing: Preprocessing) -> dict[str, Any]:
    """Content of the preprocessor_config.json for a preprocessing.

    It is the inverse of `preprocessing_from_config`, except for every eighth size of `resize`: LeViT's image processor
    cannot resize to 7, 15, 23, … pixels, and resizes to one less, of which a `LevitWarning` is issued.
    """
    values: dict[str, Any] = {
        "image_processor_type": "LevitImageProcessor",
        "do_resize": preprocessing.resize is not None,
        "do_center_crop": preprocessing.crop is not None,
        "do_rescale": preprocessing.rescale is not None,
        "do_normalize": preprocessing.mean is not None,
        "resample": preprocessing.resample,
    }
    if isinstance(preprocessing.resize, int):
        values["size"] = {"shortest_edge": _shortest_edge(preprocessing.resize)}
    elif preprocessing.resize is not None:
        values["size"] = dict(zip(("height", "width"), preprocessing.resize, strict=True))
    if preprocessing.crop is not None:
        values["crop_size"] = dict(zip(("height", "width"), preprocessing.crop, strict=True))
    if preprocessing.rescale is not None:
        values["rescale_factor"] = preprocessing.rescale
    if preprocessing.mean is not None and preprocessing.std is not None:
        values |= {"image_mean": list(preprocessing.mean), "image_std": list(preprocessing.std)}
    return values


def count_labels(config: JsonObject) -> int:
    """Number of classes in a configuration; 2 if it has none, as in transformers.

    Raises:
        ConfigError: `id2label` or `num_labels` is invalid.
    """
    if config.get("id2label") is not None:
        if not isinstance(config["id2label"], Mapping):
            raise _invalid_id2label()
        return len(config["id2label"])
    num_labels = check_integer("num_labels", config.get("num_labels", 2), minimum=0)
    if num_labels > _MAX_LABELS:
        raise ConfigError(f"{num_labels:,} is more than {_MAX_LABELS:,} classes", source="num_labels")
    return num_labels


def labels_from_config(config: JsonObject) -> tuple[str, ...]:
    """Class names in the order of the logits.

    Raises:
        ConfigError: the indices in `id2label` are not 0, 1, 2, …
    """
    id2label = config.get("id2label")
    if id2label is None:
        return default_labels(count_labels(config))
    try:
        names = {int(index): name for index, name in id2label.items()}
        ordered = [names[index] for index in range(len(names))]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _invalid_id2label() from None
    if any(isinstance(name, bool) or not isinstance(name, str | int | float) for name in ordered):
        raise _invalid_id2label()
    return tuple(map(str, ordered))


def _invalid_id2label() -> ConfigError:
    return ConfigError("does not map the numbers 0, 1, 2, … to names, without a gap", source="id2label")


def preprocessing_from_config(config: JsonObject, image_size: Grid) -> Preprocessing:
    """Preprocessing of a preprocessor_config.json; absent fields have the defaults of its `image_processor_type`.

    `size: {"shortest_edge": s}` means int(256 / 224 * s) pixels for LeViT's class, the default, and s for others, as in
    transformers.

    Args:
        config: content of the file; empty for the defaults.
        image_size: height and width of the network's input in pixels, the default of `crop_size`.

    Raises:
        ConfigError: a field is invalid, or the class is of another family.
    """
    if not config:
        return Preprocessing.for_image_size(image_size)
    processor = image_processor_type(config)
    config = {**processor.defaults, **config}
    resizes, crops, rescales, normalizes = (
        check_flag(step, config.get(step, True))
        for step in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    )
    return Preprocessing(
        resize=_resize(config["size"], processor) if resizes else None,
        crop=_crop(config.get("crop_size", image_size)) if crops else None,
        resample=config.get("resample", 3),
        rescale=check_number("rescale_factor", config.get("rescale_factor", 1 / 255)) if rescales else None,
        mean=_channels("image_mean", config["image_mean"]) if normalizes else None,
        std=_channels("image_std", config["image_std"]) if normalizes else None,
    )


def _shortest_edge(resize: int) -> int:
    """`shortest_edge` for which LeViT's image processor resizes to a number of pixels, or to one less."""
    shortest = -(-resize * 224 // 256)
    if int(256 / 224 * shortest) == resize:
        return shortest
    warnings.warn(
        f"LevitImageProcessor: resize {resize} becomes {resize - 1}, because it multiplies `shortest_edge` by 256/224 "
        f"and rounds down: for {resize}, use BitImageProcessor with `shortest_edge` {resize}",
        LevitWarning,
        stacklevel=3,
    )
    return shortest - 1


def _channels(name: str, values: object) -> tuple[Any, ...]:
    if is_number(values):
        return (values,) * 3  # one number for all channels
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{shown(values)} is not a list with one number per channel", source=name)
    return tuple(values)


def _stage_values(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{shown(value)} is not a list with one value per stage", source=name)
    return tuple(value)


def _equal_patch_size(sizes: list[int] | tuple[int, ...]) -> int:
    if not sizes or any(size != sizes[0] for size in sizes):
        raise ConfigError(f"{shown(sizes)} has different numbers", source="patch_size", hint="give one number")
    return sizes[0]


def _downsamples(down_ops: object) -> tuple[Downsample, ...]:
    # transformers appends [""] to the list each time it builds a model, and saves it; these entries have no meaning.
    operations: list[Any] = [down_ops]
    if isinstance(down_ops, list | tuple):
        operations = [operation for operation in down_ops if operation not in ([""], ("",))]
    for operation in operations:
        if not isinstance(operation, list | tuple) or len(operation) != 6 or operation[0] != "Subsample":
            raise ConfigError(
                f"has the entry {shown(operation)}",
                source="down_ops",
                hint='write ["Subsample", key_dim, num_heads, attention_ratio, mlp_ratio, stride]',
            )
    return tuple(
        Downsample(key_dim=key_dim, num_attention_heads=heads, attention_ratio=ratio, mlp_ratio=mlp, stride=stride)
        for _, key_dim, heads, ratio, mlp, stride in operations
    )


def _resize(size: Any, processor: ImageProcessorType) -> int | Grid:
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else size
    if is_integer(size) and processor.is_square:
        return size, size
    if is_integer(shortest):
        return int(256 / 224 * shortest) if processor.enlarges else shortest
    return _height_width("size", size)


def _crop(size: Any) -> Grid:
    return (size, size) if is_integer(size) else _height_width("crop_size", size)


def _height_width(name: str, size: Any) -> Grid:
    sides = (size.get("height"), size.get("width")) if isinstance(size, Mapping) else size
    if isinstance(sides, list | tuple) and len(sides) == 2:
        height, width = sides
        if is_integer(height) and is_integer(width) and min(height, width) > 0:
            return height, width
    raise ConfigError(f"invalid value {shown(size)}", source=name, hint='write {"height": …, "width": …}')
