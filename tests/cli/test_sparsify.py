"""`levit sparsify`."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import levit
from levit.checkpoints.attention_masks import read_masks
from levit.checkpoints.vitcod_files import read_vitcod_masks
from levit.sparsifying.polarization import order_keys
from tests.runtime.small_model import LABELS


@pytest.fixture
def photos(tmp_path):
    """Three photos without labels."""
    generator = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = generator.integers(0, 256, (40, 50, 3), np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def test_it_writes_a_masked_checkpoint_that_predict_opens(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--sparsity", "0.4", "--out", tmp_path / "sparse", "--json")
    assert (result.code, result.err) == (0, "")
    summary = json.loads(result.out)
    assert summary["sparsity"] >= 0.4
    assert summary["images"] == 3
    checkpoint = tmp_path / "sparse" / "checkpoint"
    assert levit.read_checkpoint(checkpoint).architecture.has_attention_masks
    assert console("predict", photos / "a.png", "--model", checkpoint).code == 0


def test_it_prints_what_is_removed(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--attention-mass", "0.5", "--out", tmp_path / "sparse")
    text = " ".join(result.out.split())
    assert "% of the attention maps, by their average over 3 images" in text
    assert "at least 50.0% of the average attention of each query" in text


def test_invalid_options_are_named_as_flags(console, model, photos, tmp_path):
    result = console("sparsify", model, photos, "--sparsity", "2", "--out", tmp_path / "sparse")
    assert (result.code, result.err) == (2, "levit: --sparsity is 2: use a number above 0 and below 1\n")
    result = console("sparsify", model, photos, "--out", tmp_path / "sparse")
    assert (result.code, result.err) == (
        2,
        "levit: give either --attention-mass or --sparsity: such as --sparsity 0.8\n",
    )


def test_masks_are_also_written_for_vitcod_and_as_orders_of_the_keys(console, model, photos, tmp_path):
    out = tmp_path / "sparse"
    options = ("--images", "2", "--vitcod", "--polarize", "0.25", "--json")
    result = console("sparsify", model, photos, "--sparsity", "0.4", "--out", out, *options)
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["images"] == 2
    masks = read_masks(out / "masks.safetensors")
    vitcod = read_vitcod_masks(out / "vitcod", levit.read_checkpoint(model).architecture)
    orders = load_file(out / "polarization.safetensors")
    for name, mask in masks.items():
        np.testing.assert_array_equal(vitcod[name], mask)
        dense = orders[name.replace("attention_mask", "num_dense_keys")]
        np.testing.assert_array_equal(dense, order_keys(mask, 0.25).num_dense_keys)


@pytest.fixture
def labeled(photos, tmp_path):
    """The same photos in a folder for each of three classes."""
    for photo, label in zip(sorted(photos.iterdir()), LABELS, strict=False):
        file = tmp_path / "labeled" / label / photo.name
        file.parent.mkdir(parents=True)
        file.write_bytes(photo.read_bytes())
    return tmp_path / "labeled"


def test_accuracies_before_and_after_masking_and_fine_tuning_are_measured(console, model, photos, labeled, tmp_path):
    options = ("--sparsity", "0.4", "--evaluation", labeled)
    first = console("sparsify", model, photos, *options, "--out", tmp_path / "sparse")
    assert (first.code, first.err) == (0, "")
    line = next(line for line in first.out.splitlines() if line.startswith("top-1"))
    assert "before" in line
    assert "with masks (3 images)" in line
    masked = tmp_path / "sparse" / "checkpoint"
    again = console("sparsify", model, photos, *options, "--fine-tuned", masked, "--out", tmp_path / "again", "--json")
    assert (again.code, again.err) == (0, "")
    summary = json.loads(again.out)
    expected = {
        name: levit.evaluate(levit.Classifier(name, precision="fp32", preprocessing="exact"), labeled).top1.value
        for name in (model, masked)
    }
    assert summary["accuracy_before"]["top1"] == expected[model]
    assert summary["accuracy_masked"]["top1"] == summary["accuracy_fine_tuned"]["top1"] == expected[masked]
    assert summary["accuracy_before"]["images"] == 3


def test_a_network_without_the_masks_is_not_the_fine_tuned_one(console, model, photos, labeled, tmp_path):
    options = ("--sparsity", "0.4", "--evaluation", labeled, "--fine-tuned", model)
    result = console("sparsify", model, photos, *options, "--out", tmp_path / "sparse")
    assert (result.code, result.out) == (2, "")
    assert result.err == "levit: --fine-tuned: fruit has no attention masks: train with masks\n"
    assert not (tmp_path / "sparse").exists()
