"""Maps from attention: propagation of relevance through stages, and the two methods."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import levit
from levit.errors import CheckpointError, EngineError
from levit.explaining.attention import AttentionNetwork, propagate
from levit.explaining.attention_opening import open_attention_network
from levit.images.transform import normalize
from levit.runtime.model_resolution import find_artifact
from levit.runtime.opened_model import ModelOptions
from levit.spec.network import attention_blocks
from tests.conftest import EXAMPLES, random_checkpoint
from tests.runtime.small_model import SMALL, write_checkpoint

CAT = EXAMPLES / "cat.jpg"
CHECKPOINT = random_checkpoint(SMALL)
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> AttentionNetwork:
    return AttentionNetwork(CHECKPOINT)


def test_relevance_passes_stages_as_documented():
    blocks = attention_blocks(SMALL)
    generator = torch.Generator().manual_seed(0)
    matrices = [
        torch.rand(np.prod(block.output_grid), np.prod(block.input_grid), generator=generator) for block in blocks
    ]
    assert [block.is_residual for block in blocks] == [True, False, True, False, True]
    first, shrink1, second, shrink2, third = matrices
    eye = torch.eye
    expected = (eye(len(third)) + third) @ shrink2 @ (eye(len(second)) + second) @ shrink1 @ (eye(len(first)) + first)
    assert torch.allclose(propagate(matrices, SMALL), expected, atol=1e-4)


def test_rollout_of_uniform_attention_is_uniform():
    blocks = attention_blocks(SMALL)
    uniform = [
        torch.full((int(np.prod(block.output_grid)), int(np.prod(block.input_grid))), 1 / np.prod(block.input_grid))
        for block in blocks
    ]
    relevance = propagate(uniform, SMALL).mean(0)
    assert torch.allclose(relevance, relevance.mean().expand_as(relevance))


def test_rollout_is_a_distribution_over_the_first_tokens(network):
    values = network.run(PIXELS).rollout()
    assert (values.shape, values.dtype) == (SMALL.stage_grids[0], np.float32)
    assert values.min() >= 0
    assert values.sum() == pytest.approx(1, abs=1e-5)


def test_gradient_attention_differs_between_classes():
    architecture = replace(SMALL, image_size=128)  # 8 x 8, 4 x 4 and 2 x 2 tokens
    network = AttentionNetwork(random_checkpoint(architecture))
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    maps = [network.run(pixels).times_gradient(index) for index in range(architecture.num_labels)]
    assert all(values.shape == (8, 8) and values.min() >= 0 for values in maps)
    shares = [values / values.sum() for values in maps if values.sum()]
    assert len(shares) >= 2
    assert np.abs(shares[0] - shares[1]).max() > 1e-3


def maps_of(network: AttentionNetwork) -> list[np.ndarray]:
    attention = network.run(PIXELS)
    return [attention.rollout(), attention.times_gradient(1), attention.logits]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_maps_do_not_depend_on_whether_the_caller_records_gradients(network, mode):
    with mode():
        own = AttentionNetwork(CHECKPOINT)
        maps = maps_of(own)
    for ours, theirs in zip(maps, maps_of(network), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_logits_are_those_of_the_checkpoint(network):
    expected = levit.load_checkpoint(CHECKPOINT)(torch.from_numpy(normalize(PIXELS[None], CHECKPOINT.preprocessing)))
    assert np.allclose(network.run(PIXELS).logits, expected.logits[0].detach().numpy(), atol=1e-6)


def test_the_embedded_model_has_the_image_size_of_its_exported_file():
    artifact = levit.Classifier().artifact
    network = open_attention_network(ModelOptions(None), artifact.architecture.image_height_width)
    assert network.artifact.architecture.stage_grids == artifact.architecture.stage_grids
    assert network.artifact.labels == artifact.labels


def test_an_exported_file_is_refused(tmp_path):
    with pytest.raises(EngineError, match=r"needs a checkpoint.*use `method` occlusion"):
        levit.explain(CAT, model=find_artifact(None), method="rollout")
    with pytest.raises(CheckpointError):
        levit.explain(CAT, model=tmp_path / "missing", method="rollout")


@pytest.mark.parametrize("method", ["gradient-attention", "rollout"])
def test_a_checkpoint_is_explained_by_its_attention_of_one_pass(tmp_path, method):
    folder = write_checkpoint(tmp_path / "fruit")
    with levit.Explainer(folder) as explain:
        passes = []
        explain._attention_network._network.register_forward_pre_hook(lambda *_: passes.append(1))
        explanation = explain(CAT, class_name="fig", method=method)
    assert passes == [1]
    assert explanation.label.name == "fig"
    assert explanation.is_class_specific == (method == "gradient-attention")
    assert explanation.heat.shape == (300, 451)
