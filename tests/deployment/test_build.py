from dataclasses import replace
from types import SimpleNamespace

import pytest

from levit.deployment import build
from levit.deployment.build import build_artifact
from levit.errors import ConfigError, ExportError
from levit.spec.architecture import Architecture
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import VARIANTS
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL


def test_attention_biases_that_exceed_an_onnx_file_are_refused_before_they_are_expanded():
    """The weights are small: one bias for each distance, but one entry for each pair of tokens in the file."""
    architecture = Architecture(
        image_size=4096, hidden_sizes=(16,), key_dim=(4,), num_attention_heads=(4,), depths=(1,), mlp_ratio=(1,),
        attention_ratio=(1,), num_labels=2,
    )  # fmt: skip
    with pytest.raises(ExportError, match=r"4096x4096 would take 68\.72 GB, more than the 2 GB of an ONNX file"):
        build_artifact(random_checkpoint(architecture))


def test_weights_count_for_the_limit_of_an_onnx_file(monkeypatch):
    """Of levit-256 for 1152 pixels, the attention biases alone would fit."""
    monkeypatch.setattr(build, "fold", lambda *_: pytest.fail("the weights were folded"))
    checkpoint = SimpleNamespace(
        architecture=VARIANTS["levit-256"].architecture(image_size=1152),
        preprocessing=Preprocessing.for_image_size((1152, 1152)),
        source=SimpleNamespace(name="large"),
    )
    with pytest.raises(ExportError, match=r"images of 1152x1152 would take 2\.21 GB, more than the 2 GB"):
        build_artifact(checkpoint)


def test_errors_name_the_checkpoint():
    headless = random_checkpoint(replace(SMALL, num_labels=0, num_classifiers=0))
    with pytest.raises(ExportError, match=r"^random: the network has no classification head: export") as no_head:
        build_artifact(headless)
    checkpoint = replace(random_checkpoint(SMALL), preprocessing=Preprocessing.for_image_size((64, 64)))
    with pytest.raises(ConfigError, match=r"^random: preprocessing gives 64x64, but the network takes 32x32") as size:
        build_artifact(checkpoint)
    assert no_head.value.source == size.value.source == "random"
