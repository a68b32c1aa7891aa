from dataclasses import replace

import pytest

import levit
from levit.checkpoints.from_model import checkpoint_from_model
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.writing import write_checkpoint
from levit.errors import ConfigError, LevitWarning
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"


def test_the_settings_of_the_loss_are_kept(tmp_path):
    settings = {"problem_type": "single_label_classification", "distillation_type": "soft", "distillation_tau": 3.0}
    checkpoint = replace(read_checkpoint(TINY / "transformers"), **settings)
    write_checkpoint(checkpoint, tmp_path)
    for source in (checkpoint, tmp_path):
        config = levit.load_checkpoint(source).config
        assert {name: getattr(config, name) for name in settings} == settings
    with pytest.warns(LevitWarning, match="newly initialized"):
        new = levit.load_checkpoint(tmp_path, num_labels=3)
    assert (new.config.problem_type, new.config.distillation_tau) == ("single_label_classification", 3.0)
    assert checkpoint_from_model(new).distillation_type == "soft"
    file = tmp_path / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"soft"', '"firm"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="distillation_type: 'firm' is invalid"):
        read_checkpoint(tmp_path)
