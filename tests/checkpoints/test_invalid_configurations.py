"""Configurations with any values: an error of one line, or a checkpoint."""

import contextlib
import warnings

import pytest

from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import assemble_checkpoint
from levit.checkpoints.weight_files import read_weight_file
from levit.errors import CheckpointError, ConfigError, LevitWarning
from tests.conftest import GOLDEN

HUGE = int("9" * 4000)


VALUES = [
    *(None, True, -1, float("nan"), HUGE, "x", [HUGE] * 3, {"0": None}, {"shortest_edge": HUGE}),
    [["Subsample", None, {}, [], "", HUGE]] * 2,
]


OTHER_FIELDS = {
    "config.json": ["num_labels", "mlp_ratios", "levit_drop_path_rate", "problem_type", "label_names", "activation"],
    "preprocessor_config.json": ["image_processor_type", "do_rescale", "rescale_factor"],
}


@pytest.mark.parametrize("dialect", ["transformers", "timm"])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_every_value_of_a_configuration_is_checked_whatever_its_type(tmp_path, dialect, name):
    """The fields are read beside weights without a head, so that nothing else refuses a number of classes."""
    stored = read_weight_file(GOLDEN / "tiny" / dialect / "model.safetensors")
    files = {file: read_json(GOLDEN / "tiny" / dialect / file) for file in OTHER_FIELDS}
    sections = [(), *((key,) for key, value in files[name].items() if isinstance(value, dict))]
    for section in sections:
        fields = files[name][section[0]] if section else files[name] | dict.fromkeys(OTHER_FIELDS[name])
        for field in fields:
            for value in VALUES:
                changed = {**fields, field: value}
                content = {**files[name], section[0]: changed} if section else changed
                if field == "num_labels":
                    content.pop("id2label", None)
                with contextlib.suppress(CheckpointError, ConfigError), warnings.catch_warnings():
                    warnings.simplefilter("ignore", LevitWarning)
                    contents = {**files, name: content}.values()
                    assemble_checkpoint(stored, *contents, "changed")
