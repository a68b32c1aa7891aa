"""Writing of networks that are not of a published size: as the library computes them, or an error."""

import numpy as np
import pytest
import torch

from levit.checkpoints.writing import write_checkpoint
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError
from levit.spec.architecture import Architecture, Downsample
from tests.conftest import random_checkpoint, relative


@pytest.mark.parametrize(
    "changes",
    [{"activation": "silu"}, {"image_size": (64, 96)}, {"patch_size": 8}, {"mlp_ratio": (2, 2, 1.5)}],
)
def test_networks_that_transformers_would_compute_wrongly_are_not_written_for_it(tmp_path, changes):
    checkpoint = random_checkpoint(Architecture(**{"image_size": 64, "hidden_sizes": (16, 24, 32), **changes}))
    with pytest.raises(CheckpointError, match="stock transformers would compute this network wrongly"):
        write_checkpoint(checkpoint, tmp_path / "out")
    assert not list(tmp_path.iterdir())


SMALL = {"image_size": 64, "hidden_sizes": (16, 24, 32), "key_dim": (4, 4, 4), "num_labels": 3}


@torch.no_grad()
@pytest.mark.parametrize("changes", [{"mlp_ratio": (3, 2, 1)}, {"attention_ratio": (4, 2, 1)}, {"patch_size": 8}])
def test_timm_loads_other_ratios_and_stems(tmp_path, changes):
    timm = pytest.importorskip("timm")
    checkpoint = random_checkpoint(Architecture(**SMALL, **changes))
    write_checkpoint(checkpoint, tmp_path, to="timm")
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 64), np.float32)
    expected = run_reference(checkpoint.weights, checkpoint.architecture, images)["logits"]
    assert relative(model(torch.from_numpy(images)).numpy(), expected) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"mlp_ratio": (0, 2, 2)},
        {"kernel_size": 5, "padding": 2},
        {"key_dim": (4, 8, 4)},
        {"downsamples": (Downsample(key_dim=4, num_attention_heads=3),) * 2},
    ],
)
def test_networks_that_timm_does_not_support_are_not_written_for_it(tmp_path, changes):
    with pytest.raises(CheckpointError, match="timm has no such LeViT"):
        write_checkpoint(random_checkpoint(Architecture(**{**SMALL, **changes})), tmp_path / "out", to="timm")
    assert not list(tmp_path.iterdir())
