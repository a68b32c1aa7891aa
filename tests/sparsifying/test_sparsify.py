"""`levit.sparsify`: its files, and the network that they describe."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import levit
from levit.checkpoints.attention_masks import read_masks
from levit.checkpoints.vitcod_files import read_vitcod_masks
from levit.sparsifying.average_attention import average_attention
from levit.sparsifying.mask_selection import select_by_mass
from levit.sparsifying.polarization import order_keys
from tests.architectures import small_architecture
from tests.conftest import random_checkpoint


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(small_architecture())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Noise in a folder for each label of the network."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(15):
        file = folder / f"LABEL_{number % 5}" / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (40, 40, 3), np.uint8)).save(file)
    return folder


@pytest.fixture(scope="module")
def result(checkpoint, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sparse") / "out"
    return levit.sparsify(checkpoint, photos, folder, attention_mass=0.6, evaluation=photos, polarize=0.5, vitcod=True)


def test_the_masks_are_those_of_the_average_attention(checkpoint, photos, result):
    average = average_attention(checkpoint, levit.open_data(photos))
    masks = read_masks(result.folder / "masks.safetensors")
    assert len(masks) == len(average) == 3
    for key, attention in average.items():
        np.testing.assert_array_equal(masks[f"{key}.attention_mask"], select_by_mass(attention, 0.6))


def test_the_checkpoint_is_the_network_with_the_masks(checkpoint, result):
    masked = levit.read_checkpoint(result.folder / "checkpoint")
    assert masked.weights.keys() - checkpoint.weights.keys() == read_masks(result.folder / "masks.safetensors").keys()
    assert all(np.array_equal(masked.weights[name], array) for name, array in checkpoint.weights.items())
    assert (masked.labels, masked.preprocessing) == (checkpoint.labels, checkpoint.preprocessing)


def test_the_accuracies_are_those_of_evaluate(checkpoint, photos, result):
    before, after, fine_tuned = result.accuracies
    assert fine_tuned is None
    assert (before.images, before.precision) == (15, "fp32")
    for accuracy, model in ((before, checkpoint), (after, result.folder / "checkpoint")):
        classifier = levit.Classifier(model, precision="fp32", preprocessing="exact")
        assert accuracy.top1 == levit.evaluate(classifier, photos).top1.value


def test_the_summary_has_the_numbers_of_the_result(checkpoint, result):
    summary = json.loads((result.folder / "sparsity.json").read_text())
    assert summary == {"checkpoint": "random", "sha256": None, **json.loads(json.dumps(result.to_dict()))}
    assert summary["attention_mass"] == 0.6
    assert 0 < summary["sparsity"] < 1
    assert [layer["name"] for layer in summary["layers"]] == [
        "stage1.block1.attention", "stage1.downsample.attention", "stage2.block1.attention",
    ]  # fmt: skip


def test_vitcod_and_polarization_describe_the_same_masks(checkpoint, result):
    masks = read_masks(result.folder / "masks.safetensors")
    vitcod = read_vitcod_masks(result.folder / "vitcod", checkpoint.architecture)
    assert all(np.array_equal(vitcod[name], mask) for name, mask in masks.items())
    orders = load_file(result.folder / "polarization.safetensors")
    for name, mask in masks.items():
        key = name.removesuffix(".attention_mask")
        np.testing.assert_array_equal(orders[f"{key}.key_order"], order_keys(mask, 0.5).key_order)
        np.testing.assert_array_equal(orders[f"{key}.num_dense_keys"], order_keys(mask, 0.5).num_dense_keys)


def test_the_report_shows_each_head_of_each_layer(result):
    html = (result.folder / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == sum(layer.heads for layer in result.savings.layers)
    for layer in result.savings.layers:
        assert f"<h3>{layer.name}</h3>" in html
    assert re.search(r"top-1 with masks, without fine-tuning", html)
    assert "<script" not in html


def test_a_part_of_the_images_is_spread_over_the_data(checkpoint, photos, tmp_path):
    result = levit.sparsify(checkpoint, photos, tmp_path / "out", sparsity=0.5, images=5)
    assert (result.images, result.accuracies) == (5, None)
    assert 0.5 <= result.savings.sparsity < 0.6
    assert {path.name for path in result.folder.iterdir()} == {
        "checkpoint", "masks.safetensors", "report.html", "sparsity.json",
    }  # fmt: skip


def test_a_repeated_run_leaves_no_files_of_other_masks(checkpoint, photos, tmp_path):
    (tmp_path / "vitcod").mkdir()
    levit.sparsify(checkpoint, photos, tmp_path, sparsity=0.5)
    assert (tmp_path / "vitcod").exists()  # of another program
    levit.sparsify(checkpoint, photos, tmp_path, sparsity=0.6, vitcod=True, polarize=0.5)
    assert (tmp_path / "polarization.safetensors").exists()
    levit.sparsify(checkpoint, photos, tmp_path, sparsity=0.7)
    assert not (tmp_path / "vitcod").exists()
    assert not (tmp_path / "polarization.safetensors").exists()


def test_keys_that_the_network_has_removed_stay_removed(photos, result, tmp_path):
    again = levit.sparsify(result.folder / "checkpoint", photos, tmp_path, attention_mass=0.3)
    masks = read_masks(result.folder / "masks.safetensors")
    for name, mask in read_masks(tmp_path / "masks.safetensors").items():
        assert mask.sum() < masks[name].sum()
        assert not mask[~masks[name]].any()
    assert again.savings.sparsity > result.savings.sparsity


def test_the_files_of_a_network_are_not_replaced_by_its_own_masks(checkpoint, photos, result, tmp_path):
    folder = shutil.copytree(result.folder / "checkpoint", tmp_path / "checkpoint")
    before = (folder / "model.safetensors").read_bytes()
    options = {"attention_mass": 0.6, "evaluation": photos}
    with pytest.raises(levit.CheckpointError, match=r"model\.safetensors: the target is the source"):
        levit.sparsify(folder, "missing", tmp_path, **options)
    with pytest.raises(levit.CheckpointError, match=r"model\.safetensors: the target is the source"):
        levit.sparsify(checkpoint, "missing", tmp_path, **options, fine_tuned=folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_name_that_is_not_utf8_is_escaped_in_the_report(checkpoint, photos, tmp_path):
    name = b"caf\xe9".decode(errors="surrogateescape")
    named = replace(checkpoint, source=replace(checkpoint.source, name=name))
    levit.sparsify(named, photos, tmp_path / "out", sparsity=0.5)
    assert r"Sparse attention of caf\udce9" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out/sparsity.json").read_text())["checkpoint"] == name


def test_the_images_of_the_training_set_are_the_default(checkpoint, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "data" / "validation")
    shutil.copytree(photos / "LABEL_0", tmp_path / "data" / "train" / "LABEL_0")
    assert levit.sparsify(checkpoint, tmp_path / "data", tmp_path / "a", sparsity=0.5).images == 3
    assert levit.sparsify(checkpoint, tmp_path / "data", tmp_path / "b", sparsity=0.5, split="validation").images == 15


def test_the_report_contains_the_accuracy_after_fine_tuning(checkpoint, photos, result, tmp_path):
    masked = levit.read_checkpoint(result.folder / "checkpoint")
    generator = np.random.default_rng(0)
    head = {
        name: generator.normal(size=array.shape).astype(np.float32)
        for name, array in masked.weights.items()
        if name.startswith("classifier") and name.endswith("linear.weight")
    }
    assert head
    tuned = replace(masked, weights={**masked.weights, **head})
    again = levit.sparsify(
        checkpoint, photos, tmp_path / "out", attention_mass=0.6, evaluation=photos, fine_tuned=tuned
    )
    classifier = levit.Classifier(tuned, precision="fp32", preprocessing="exact")
    accuracy = again.accuracies.fine_tuned
    assert accuracy.top1 == levit.evaluate(classifier, photos).top1.value
    assert again.accuracies[:2] == result.accuracies[:2]
    assert json.loads((again.folder / "sparsity.json").read_text())["accuracy_fine_tuned"]["top1"] == accuracy.top1
    html = (again.folder / "report.html").read_text(encoding="utf-8")
    assert "top-1 with masks, after fine-tuning" in html
    assert "percentage points after fine-tuning" in html


def test_the_fine_tuned_network_has_labels_and_preprocessing_of_its_own(checkpoint, photos, result, tmp_path):
    masked = levit.read_checkpoint(result.folder / "checkpoint")
    order = np.random.default_rng(1).permutation(len(masked.labels))
    weights = {
        name: array[order] if ".linear." in name and name.startswith("classifier") else array
        for name, array in masked.weights.items()
    }
    preprocessing = replace(masked.preprocessing, resize=masked.preprocessing.output_size)
    tuned = replace(
        masked, weights=weights, labels=tuple(masked.labels[index] for index in order), preprocessing=preprocessing
    )
    again = levit.sparsify(
        checkpoint, photos, tmp_path / "out", attention_mass=0.6, evaluation=photos, fine_tuned=tuned
    )
    classifier = levit.Classifier(tuned, precision="fp32", preprocessing="exact")
    assert again.accuracies.fine_tuned.top1 == levit.evaluate(classifier, photos).top1.value


def test_a_network_without_masks_is_refused_before_the_images_are_read(checkpoint, tmp_path):
    options = {"evaluation": "missing", "fine_tuned": checkpoint}
    with pytest.raises(levit.ConfigError, match="random has no attention masks: train with masks"):
        levit.sparsify(checkpoint, "missing", tmp_path, attention_mass=0.6, **options)


def test_a_network_with_other_masks_is_not_the_fine_tuned_one(checkpoint, photos, result, tmp_path):
    options = {"evaluation": photos, "fine_tuned": result.folder / "checkpoint"}
    with pytest.raises(levit.ConfigError, match="does not have the masks that these options choose: repeat the"):
        levit.sparsify(checkpoint, photos, tmp_path / "out", attention_mass=0.9, **options)
    assert not (tmp_path / "out").exists()


def test_a_network_without_a_head_is_refused(photos, tmp_path):
    backbone = random_checkpoint(small_architecture(num_classifiers=0))
    with pytest.raises(levit.ExportError, match=r"^random: the network has no classification head: "):
        levit.sparsify(backbone, photos, tmp_path / "out", sparsity=0.5)
    assert not (tmp_path / "out").exists()


def test_images_without_labels_are_refused_for_the_accuracy(checkpoint, photos, tmp_path):
    with pytest.raises(levit.DataError, match=r"^LABEL_0: no labels: put the images into one"):
        levit.sparsify(checkpoint, photos, tmp_path / "out", sparsity=0.5, images=1, evaluation=photos / "LABEL_0")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give either `attention_mass` or `sparsity`"),
        ({"attention_mass": 0.9, "sparsity": 0.8}, "give either `attention_mass` or `sparsity`"),
        ({"attention_mass": 0}, "attention_mass is 0: use a number above 0, to 1"),
        ({"sparsity": 1}, "sparsity is 1: use a number above 0 and below 1"),
        ({"sparsity": 0.99}, "sparsity is 0.99, but one key for each query leaves a sparsity of 0.9"),
        ({"sparsity": 0.5, "images": 0}, "images is 0: use at least 1"),
        ({"sparsity": 0.5, "fine_tuned": "run"}, "fine_tuned has no effect without `evaluation`"),
        ({"sparsity": 0.5, "class_map": {"a": "b"}}, "class_map has no effect without `evaluation`"),
        ({"sparsity": 0.5, "polarize": 2}, "polarize is 2: use a number from 0 to 1"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_written(checkpoint, photos, tmp_path, values, message):
    with pytest.raises(levit.ConfigError) as error:
        levit.sparsify(checkpoint, photos, tmp_path / "out", **values)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "out").exists()
