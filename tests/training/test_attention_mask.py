"""Training with attention masks."""

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.attention_masks import mask_shapes, with_masks, write_masks
from levit.checkpoints.levit_folder import write_levit_folder
from levit.checkpoints.vitcod_files import write_vitcod_masks
from levit.training.train import train
from tests.training.runs import StopAfterSteps, assert_same_run


@pytest.fixture(scope="module")
def masks(network):
    generator = np.random.default_rng(0)
    shapes = mask_shapes(levit.read_checkpoint(network).architecture)
    masks = {name: generator.random(shape) < 0.5 for name, shape in shapes.items()}
    for mask in masks.values():
        mask[..., 0] = True
    return masks


@pytest.fixture(scope="module")
def masks_file(masks, tmp_path_factory):
    file = tmp_path_factory.mktemp("masks") / "masks.safetensors"
    write_masks(file, masks)
    return file


def masks_in(folder):
    weights = levit.read_checkpoint(folder).weights
    return {name: array for name, array in weights.items() if name.endswith(".attention_mask")}


def same_masks(actual, expected) -> bool:
    return actual.keys() == expected.keys() and all(np.array_equal(actual[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_a_run_keeps_the_masks_and_is_resumed_with_them(colors, network, masks, masks_file, tmp_path):
    options = {
        "data": str(colors), "model": str(network), "attention_mask": str(masks_file), "epochs": 1, "batch_size": 8,
        "ema": 0.8, "precision": "fp32", "workers": 0, "report_to": "none", "keep_state": True,
    }  # fmt: skip
    train(out=str(tmp_path / "run"), **options)
    for folder in ("run", "run/last", "run/ema"):
        assert same_masks(masks_in(tmp_path / folder), masks)
    stopped = train(out=str(tmp_path / "stopped"), callbacks=[StopAfterSteps(2)], **options)
    assert not stopped.is_complete
    train(out=str(tmp_path / "stopped"), resume=True, **options)
    assert_same_run(tmp_path / "run", tmp_path / "stopped")


def test_masks_change_what_the_student_computes(build, network, masks, masks_file, tmp_path):
    pixels = torch.randn(2, 3, 32, 32)
    classes = levit.read_checkpoint(network).labels
    dense, masked = build(network, classes), build(network, classes, attention_mask=str(masks_file))
    with torch.no_grad():
        outputs = [student.network.eval()(pixels).logits for student in (dense, masked)]
    assert not torch.allclose(*outputs)
    checkpoint = with_masks(levit.read_checkpoint(network), masks)
    folder = write_levit_folder(checkpoint, tmp_path / "masked")
    write_vitcod_masks(tmp_path / "vitcod", masks, checkpoint.architecture)
    for student in (build(folder, classes), build(network, classes, attention_mask=str(tmp_path / "vitcod"))):
        with torch.no_grad():
            assert torch.equal(student.network.eval()(pixels).logits, outputs[1])


def test_random_weights_of_a_masked_architecture_have_no_masks(build, network, masks, tmp_path):
    folder = write_levit_folder(with_masks(levit.read_checkpoint(network), masks), tmp_path / "masked")
    student = build(folder, from_scratch=True)
    assert not any(name.endswith("attention_mask") for name in student.network.state_dict())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"from_scratch": True},
            "attention_mask is chosen by the attention of trained weights: leave out",
        ),
        ({"model": "timm/test_vit"}, "attention_mask is not for timm/test_vit, which is not a LeViT: leave out"),
    ],
)
def test_masks_without_an_effect_are_refused(build, network, masks_file, values, message):
    with pytest.raises(levit.ConfigError) as error:
        build(values.pop("model", network), attention_mask=str(masks_file), **values)
    assert str(error.value).startswith(message)


def test_masks_of_another_network_are_refused(build, network, masks, tmp_path):
    first = next(iter(masks))
    write_masks(tmp_path / "other.safetensors", masks | {first: masks[first][:, :2]})
    with pytest.raises(levit.CheckpointError, match=r"other\.safetensors: not the masks of this network"):
        build(network, attention_mask=str(tmp_path / "other.safetensors"))
