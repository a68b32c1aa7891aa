import pytest

from levit.deployment.build import build_artifact
from levit.errors import ExportError
from levit.spec.architecture import Architecture
from tests.conftest import random_checkpoint


def test_attention_biases_that_exceed_an_onnx_file_are_refused_before_they_are_expanded():
    """The weights are small: one bias for each distance, but one entry for each pair of tokens in the file."""
    architecture = Architecture(
        image_size=4096, hidden_sizes=(16,), key_dim=(4,), num_attention_heads=(4,), depths=(1,), mlp_ratio=(1,),
        attention_ratio=(1,), num_labels=2,
    )  # fmt: skip
    with pytest.raises(ExportError, match=r"4096x4096 would take 68\.7 GB, more than the 2 GB of an ONNX file"):
        build_artifact(random_checkpoint(architecture))
