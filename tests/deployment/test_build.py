from dataclasses import replace

import pytest

from levit.deployment.build import build_artifact
from levit.errors import ConfigError, ExportError
from levit.spec.architecture import Architecture
from levit.spec.preprocessing import Preprocessing
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL


def test_attention_biases_that_exceed_an_onnx_file_are_refused_before_they_are_expanded():
    """The weights are small: one bias for each distance, but one entry for each pair of tokens in the file."""
    architecture = Architecture(
        image_size=4096, hidden_sizes=(16,), key_dim=(4,), num_attention_heads=(4,), depths=(1,), mlp_ratio=(1,),
        attention_ratio=(1,), num_labels=2,
    )  # fmt: skip
    with pytest.raises(ExportError, match=r"4096x4096 would take 68\.7 GB, more than the 2 GB of an ONNX file"):
        build_artifact(random_checkpoint(architecture))


def test_errors_name_the_checkpoint():
    headless = random_checkpoint(replace(SMALL, num_labels=0, num_classifiers=0))
    with pytest.raises(ExportError, match=r"^random: the network has no classification head: export") as no_head:
        build_artifact(headless)
    checkpoint = replace(random_checkpoint(SMALL), preprocessing=Preprocessing.for_image_size((64, 64)))
    with pytest.raises(ConfigError, match=r"^random: preprocessing gives 64x64, but the network takes 32x32") as size:
        build_artifact(checkpoint)
    assert no_head.value.source == size.value.source == "random"
