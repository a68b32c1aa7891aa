from dataclasses import replace

import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.vit_pytorch_architecture import check_vit_pytorch
from levit.checkpoints.writing import convert
from levit.errors import CheckpointError
from levit.spec.architecture import Downsample
from tests.conftest import GOLDEN

ARCHITECTURE = read_checkpoint(GOLDEN / "frameworks" / "vit-pytorch" / "levit.pt").architecture
DOWN = Downsample(key_dim=32, num_attention_heads=4, attention_ratio=2)


@pytest.mark.parametrize("to", ["vit-pytorch", "flax"])
def test_the_network_of_the_paper_is_refused_with_the_differences(tmp_path, to):
    match = rf"facebook\.pth: {to} has another network under the name LeViT: its stem has no batch norms; its MLPs"
    with pytest.raises(CheckpointError, match=match) as caught:
        convert(GOLDEN / "tiny" / "facebook.pth", tmp_path / "out", to=to)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"stem_activation": "gelu"}, "its stem has no activations"),
        ({"attention_activation": "gelu_tanh"}, "its attention has the activation gelu"),
        ({"activation": "silu"}, "its MLPs have the activation hardswish or gelu"),
        ({"padding": (0, 1)}, "with the padding 1"),
        ({"num_channels": 4}, "of RGB images"),
        ({"stem_channels": (16, 64, 128, 32)}, "32, 64 and 128 channels"),
        ({"image_size": (112, 96)}, "squares of whole patches"),
        ({"image_size": 100}, "squares of whole patches"),
        ({"key_dim": (32, 16, 32)}, "the same channels in all blocks"),
        ({"mlp_ratio": (2, 3, 2)}, "one integer MLP ratio"),
        ({"mlp_ratio": (1.5, 1.5, 1.5)}, "one integer MLP ratio"),
        ({"downsamples": (DOWN, replace(DOWN, num_attention_heads=5))}, "twice the heads"),
        ({"downsamples": (DOWN, replace(DOWN, num_attention_heads=6, stride=3))}, "it halves the grid"),
        ({"num_classifiers": 0}, "it has a head"),
        ({"mlp_batch_norm": True}, "its MLPs have biases"),
        ({"head_batch_norm": True}, "its heads have no batch norm"),
    ],
)
def test_each_difference_is_named(changes, difference):
    check_vit_pytorch(ARCHITECTURE, "vit-pytorch", "file")
    with pytest.raises(CheckpointError, match=f"^file: vit-pytorch has another network .*{difference}"):
        check_vit_pytorch(replace(ARCHITECTURE, **changes), "vit-pytorch", "file")


def test_the_port_to_flax_differs_in_padding_and_gelu():
    with pytest.raises(CheckpointError, match=r"activation gelu_tanh; .* padding \(0, 1\)"):
        check_vit_pytorch(ARCHITECTURE, "flax", "file", is_flax=True)
    check_vit_pytorch(
        replace(ARCHITECTURE, padding=(0, 1), attention_activation="gelu_tanh"), "flax", "file", is_flax=True
    )
