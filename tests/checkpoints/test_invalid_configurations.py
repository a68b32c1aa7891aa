"""Configurations with any values: an error of one line, or a checkpoint."""

import math
import warnings

import pytest

from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import assemble_checkpoint
from levit.checkpoints.weight_files import read_weight_file
from levit.errors import CheckpointError, ConfigError, LevitWarning
from tests.conftest import GOLDEN

HUGE = int("9" * 4000)

VALUES = {
    "null": None,
    "true": True,
    "negative": -1,
    "nan": math.nan,
    "huge": HUGE,
    "text": "x",
    "huge list": [HUGE] * 3,
    "object": {"0": None},
    "huge side": {"shortest_edge": HUGE},
    "nested list": [["Subsample", None, {}, [], "", HUGE]] * 2,
}

# Fields that a file may have in addition to those of the golden one.
OTHER_FIELDS = {
    "config.json": ["num_labels", "mlp_ratios", "levit_drop_path_rate", "problem_type", "label_names", "activation"],
    "preprocessor_config.json": ["image_processor_type", "do_rescale", "rescale_factor"],
}

# Fields that are not read, so that no value changes the checkpoint.
UNREAD = {
    ("transformers", "config.json"): {
        "architectures", "dtype", "label2id", "transformers_version", "problem_type", "label_names",
        *(f"label2id.LABEL_{index}" for index in range(10)),
    },
    ("transformers", "preprocessor_config.json"): set(),
    ("timm", "config.json"): {
        "num_classes", "num_features", "global_pool", "num_labels", "mlp_ratios", "levit_drop_path_rate",
        "problem_type", "activation", "model_args.num_classes", "model_args.embed_dim", "model_args.key_dim",
        "model_args.num_heads", "model_args.depth", "model_args.in_chans", "model_args.global_pool",
        "pretrained_cfg.tag", "pretrained_cfg.custom_load", "pretrained_cfg.input_size",
        "pretrained_cfg.fixed_input_size", "pretrained_cfg.crop_mode", "pretrained_cfg.num_classes",
        "pretrained_cfg.pool_size", "pretrained_cfg.first_conv", "pretrained_cfg.classifier", "pretrained_cfg.license",
    },
    ("timm", "preprocessor_config.json"): set(OTHER_FIELDS["preprocessor_config.json"]),
}  # fmt: skip

# Values that are valid; every other value of a field that is read is an error.
ACCEPTED = {
    ("transformers", "config.json"): {
        "down_ops": {"null"},  # those of the paper
        **{f"id2label.{index}": {"negative", "nan", "huge", "text"} for index in range(10)},  # names, also of digits
    },
    ("transformers", "preprocessor_config.json"): {
        **{f"do_{step}": {"true"} for step in ("center_crop", "normalize", "rescale", "resize")},
        **{name: {"negative"} for name in ("image_mean", "image_std", "rescale_factor")},
        "image_processor_type": {"null"},
    },
    ("timm", "config.json"): {
        "label_names": {"null"},
        **{section: {"null", "object", "huge side"} for section in ("model_args", "pretrained_cfg")},
        "model_args.img_size": {"null"},
        **{f"pretrained_cfg.{name}": {"null"} for name in ("interpolation", "crop_pct", "mean", "std")},
    },
    ("timm", "preprocessor_config.json"): {},
}


def read_with(stored, contents):
    """The checkpoint, or None after an error of one short line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LevitWarning)
            return assemble_checkpoint(stored, *contents, "changed")
    except (CheckpointError, ConfigError) as error:
        message = str(error)
    assert message.startswith("changed: ")
    assert "\n" not in message
    assert len(message) < 1000  # without the digits of a huge number
    return None


def changes(content, others):
    """Name of each field, in sections with a dot, and the function that gives the content with another value."""
    for field in {**content, **dict.fromkeys(others)}:
        yield field, lambda value, field=field: {**content, field: value}
    for section, fields in content.items():
        for field in fields if isinstance(fields, dict) else ():
            yield (
                f"{section}.{field}",
                lambda value, section=section, field=field: {**content, section: {**content[section], field: value}},
            )


def description(checkpoint):
    return checkpoint.architecture, checkpoint.preprocessing, checkpoint.labels, checkpoint.is_multi_label


@pytest.mark.parametrize("dialect", ["transformers", "timm"])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_every_value_of_a_configuration_is_checked_whatever_its_type(dialect, name):
    stored = read_weight_file(GOLDEN / "tiny" / dialect / "model.safetensors")
    files = {file: read_json(GOLDEN / "tiny" / dialect / file) for file in OTHER_FIELDS}
    expected = description(read_with(stored, files.values()))
    accepted, unread = {}, set()
    for field, change in changes(files[name], OTHER_FIELDS[name]):
        read = {}
        for key, value in VALUES.items():
            content = change(value)
            if field == "num_labels":
                content.pop("id2label", None)
            checkpoint = read_with(stored, {**files, name: content}.values())
            if checkpoint is not None:
                read[key] = description(checkpoint)
        if len(read) == len(VALUES) and all(values == expected for values in read.values()):
            unread.add(field)
        elif read:
            accepted[field] = set(read)
    assert unread == UNREAD[dialect, name]
    assert accepted == ACCEPTED[dialect, name]
