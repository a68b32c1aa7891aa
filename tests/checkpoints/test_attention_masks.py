"""Attention masks: files, and the checkpoints, networks and exported files that contain them."""

import json

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file

import levit
from levit.checkpoints.attention_masks import mask_shapes, read_masks, with_masks, write_masks
from levit.checkpoints.levit_folder import write_levit_folder
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.deployment.reference import run_reference
from tests.architectures import small_architecture
from tests.conftest import random_checkpoint, random_weights, relative


@pytest.fixture(scope="module")
def masked():
    return random_checkpoint(small_architecture(has_attention_masks=True))


def masks_of(checkpoint):
    return {name: array for name, array in checkpoint.weights.items() if name.endswith("attention_mask")}


def pixels(checkpoint, count=2):
    size = (count, 3, *checkpoint.architecture.image_height_width)
    return np.random.default_rng(1).normal(size=size).astype(np.float32)


def test_masks_are_read_as_they_were_written(masked, tmp_path):
    masks = masks_of(masked)
    write_masks(tmp_path / "masks.safetensors", masks)
    read = read_masks(tmp_path / "masks.safetensors")
    assert read.keys() == masks.keys() == mask_shapes(masked.architecture).keys()
    assert all(np.array_equal(read[name], mask) for name, mask in masks.items())


def test_masks_change_the_logits_and_the_same_weights_without_them_do_not(masked):
    weights = random_weights(small_architecture())
    dense = random_checkpoint(small_architecture())
    assert weights.keys() == dense.weights.keys()
    added = with_masks(dense, masks_of(masked))
    images = pixels(dense)
    outputs = [run_reference(item.weights, item.architecture, images)["logits"] for item in (dense, added)]
    assert relative(outputs[1], outputs[0]) > 1e-3
    full = with_masks(dense, {name: np.ones_like(mask) for name, mask in masks_of(masked).items()})
    np.testing.assert_array_equal(run_reference(full.weights, full.architecture, images)["logits"], outputs[0])


def test_a_masked_checkpoint_is_read_as_it_was_written_and_not_by_stock_transformers(masked, tmp_path):
    import transformers

    folder = write_levit_folder(masked, tmp_path / "masked")
    read = levit.read_checkpoint(folder)
    assert read.architecture == masked.architecture
    assert all(np.array_equal(read.weights[name], array) for name, array in masked.weights.items())
    assert json.loads((folder / "config.json").read_text())["model_type"] == "levit_extended"
    with pytest.raises(ValueError, match="levit_extended"):
        transformers.AutoModelForImageClassification.from_pretrained(folder)


def test_a_masked_file_is_read_without_its_configuration(masked, tmp_path):
    file = write_levit_folder(masked, tmp_path / "masked") / "model.safetensors"
    (tmp_path / "alone").mkdir()
    alone = file.rename(tmp_path / "alone" / "weights.safetensors")
    assert levit.read_checkpoint(alone).architecture.has_attention_masks


def test_the_torch_network_and_its_saved_files_keep_the_masks(masked, tmp_path):
    network = levit.load_checkpoint(masked)
    images = pixels(masked)
    expected = run_reference(masked.weights, masked.architecture, images)["logits"]
    for attention in ("eager", "sdpa"):
        network.set_attn_implementation(attention)
        with torch.no_grad():
            assert relative(network(torch.from_numpy(images)).logits.numpy(), expected) < 1e-5
    network.save_pretrained(tmp_path)
    saved = levit.read_checkpoint(tmp_path)
    assert all(np.array_equal(saved.weights[name], mask) for name, mask in masks_of(masked).items())
    loaded = levit.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path)
    with torch.no_grad():
        assert relative(loaded(torch.from_numpy(images)).logits.numpy(), expected) < 1e-5


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_one_exported_file_with_masks_gives_the_logits_of_the_reference_in_every_engine(masked, tmp_path, engine):
    images = pixels(masked)
    expected = run_reference(masked.weights, masked.architecture, images)["logits"]
    levit.export(masked, tmp_path / "masked.onnx")
    opened = levit.open_engine(tmp_path / "masked.onnx", engine=engine, precision="fp32")
    assert relative(opened.run(images), expected) < 1e-5
    operations = {node.op_type for node in onnx.load(tmp_path / "masked.onnx").graph.node}
    assert not operations & {"Where", "ScatterND"}  # the masks are in the attention biases


def test_the_native_engine_leaves_masks_to_openvino(masked, tmp_path):
    levit.export(masked, tmp_path / "masked.onnx")
    with pytest.warns(levit.LevitWarning, match="attention with masks is not supported; OpenVINO is used"):
        opened = levit.open_engine(tmp_path / "masked.onnx", engine="native", precision="fp32")
    images = pixels(masked)
    expected = run_reference(masked.weights, masked.architecture, images)["logits"]
    assert relative(opened.run(images), expected) < 1e-5


def test_masks_of_another_network_are_refused_in_one_line(masked, tmp_path):
    dense = random_checkpoint(small_architecture(num_attention_heads=(4, 3)))
    with pytest.raises(levit.CheckpointError) as error:
        with_masks(dense, masks_of(masked), "masks.safetensors")
    assert str(error.value) == (
        "masks.safetensors: not the masks of this network: levit.encoder.stages.0.layers.0.module.attention_mask is "
        "[2, 16, 16], not [4, 16, 16]: give masks that were made for this architecture and image size"
    )
    masks = masks_of(masked)
    first = next(iter(masks))
    with pytest.raises(levit.CheckpointError, match="is missing, not"):
        with_masks(masked, {name: mask for name, mask in masks.items() if name != first})
    with pytest.raises(levit.CheckpointError, match="leaves a query without keys"):
        with_masks(masked, masks | {first: np.zeros_like(masks[first])})


def test_other_files_are_no_masks(masked, tmp_path):
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "weights.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    for name in ("weights.safetensors", "damaged.safetensors", "missing.safetensors"):
        with pytest.raises(levit.CheckpointError, match=name) as error:
            read_masks(tmp_path / name)
        assert len(str(error.value).splitlines()) == 1


def test_masks_are_for_one_image_size(masked):
    with pytest.raises(levit.ConfigError, match="image_size cannot change: the attention masks"):
        resize_checkpoint(masked, (64, 64))
    with pytest.raises(levit.ConfigError, match="pixel_values gives 8x8 tokens, but the attention masks are for 4x4"):
        levit.load_checkpoint(masked)(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("to", ["facebook", "timm", "transformers"])
def test_conversion_to_libraries_without_masks_is_refused(masked, tmp_path, to):
    folder = write_levit_folder(masked, tmp_path / "masked")
    with pytest.raises(levit.CheckpointError, match=f"has attention masks, which {to} lacks"):
        levit.convert(folder, tmp_path / "converted.pth", to=to)
