"""`levit evaluate`: summary, files, JSON, exit codes and messages."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from levit.runtime.classifier import Classifier
from tests.data.datasets_on_disk import write_parquet
from tests.runtime.small_model import LABELS, write_checkpoint


@pytest.fixture
def photos(tmp_path):
    """Noise images in a folder for each label."""
    generator = np.random.default_rng(0)
    for index in range(10):
        file = tmp_path / "photos" / "val" / LABELS[index % len(LABELS)] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    return tmp_path / "photos"


def test_summary_and_output_folder(console, model, photos, tmp_path):
    result = console("evaluate", model, photos, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    fields = {line.split("  ")[0]: line for line in result.out.splitlines()}
    assert "10 images, 10 evaluated" in fields["data"]
    assert "95 % interval" in fields["top-1"]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {
        "report.html", "metrics.json", "per_class.csv", "confusion.csv", "mistakes.csv", "predictions.parquet",
    }  # fmt: skip
    assert json.loads((tmp_path / "out/metrics.json").read_text())["images"]["evaluated"] == 10


def test_json_is_one_object_and_the_exit_code_reports_bad_images(console, model, photos):
    (photos / "val" / LABELS[0] / "bad.jpg").write_text("no image")
    result = console("evaluate", model, photos, "--json")
    assert (result.code, result.err) == (1, "")
    images = json.loads(result.out)["images"]
    assert (images["total"], images["evaluated"]) == (11, 10)
    assert images["bad"][0]["name"] == f"{LABELS[0]}/bad.jpg"
    result = console("evaluate", model, photos, "--on-bad-image", "fail")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("bad.jpg: not an image of a supported format\n")


def test_provider_threads_and_the_limit_of_pixels_are_those_of_the_classifier(console, model, photos):
    result = console("evaluate", model, photos, "--provider", "cpu", "--threads", "1", "--json")
    assert (result.code, json.loads(result.out)["engine"]) == (0, "onnxruntime")
    large = photos / "val" / LABELS[0] / "large.png"
    Image.new("RGB", (64, 64)).save(large)
    result = console("evaluate", model, photos, "--max-pixels", "1024")
    assert result.code == 1
    assert "raise --max-pixels" in " ".join(result.out.split())
    large.unlink()
    result = console("evaluate", model, photos, "--max-pixels", "9", "--on-bad-image", "fail")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("more than the limit of 9: make it smaller, or raise --max-pixels\n")


def test_duplicates_and_empty_classes_are_named(console, model, photos, tmp_path):
    first = next((photos / "val" / LABELS[0]).iterdir())
    (photos / "val" / LABELS[1] / "copy.png").write_bytes(first.read_bytes())
    (photos / "train" / LABELS[0]).mkdir(parents=True)
    (photos / "train" / LABELS[0] / "seen.png").write_bytes(first.read_bytes())
    for file in (photos / "val" / LABELS[2]).iterdir():
        file.unlink()
    result = console("evaluate", model, photos, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    fields = {line.split("  ")[0]: " ".join(line.split()) for line in result.out.splitlines()}
    assert fields["empty classes"].endswith(f"1: {LABELS[2]}")
    assert "2 also in train, 1 twice in the data" in fields["duplicates"]
    assert f" is a copy of train: {LABELS[0]}/seen.png" in fields["duplicates"]
    images = json.loads((tmp_path / "out/metrics.json").read_text())["images"]
    assert images["empty_classes"] == [LABELS[2]]
    duplicates = images["duplicates"]
    assert (duplicates["within"], duplicates["across"], duplicates["compared_splits"]) == (1, 2, ["train"])
    assert duplicates["examples"][0]["duplicate_of"] == f"train: {LABELS[0]}/seen.png"
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Duplicate images" in page
    assert "1 class without an image" in page


def test_accuracy_is_recorded_in_an_exported_file(console, model, photos, tmp_path):
    file = tmp_path / "fruit.onnx"
    assert console("export", model, file).code == 0
    result = console("evaluate", file, photos, "--save-accuracy", "--json")
    recorded = Classifier(file).artifact.accuracy
    values = json.loads(result.out)
    assert (recorded.top1, recorded.images, recorded.data) == (pytest.approx(values["top1"]["value"]), 10, "val")
    assert recorded.sha256 == values["data"]["sha256"]
    result = console("evaluate", model, photos, "--save-accuracy")
    assert (result.code, result.out) == (2, "")
    assert "is not an exported file" in result.err


def test_classes_of_other_names_can_be_mapped(console, model, photos, tmp_path):
    (photos / "val" / LABELS[0]).rename(photos / "val" / "äpple")
    result = console("evaluate", model, photos)
    assert result.code == 2
    assert "no label for 1 of 5 classes ('äpple'): give --class-map" in result.err
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"äpple": LABELS[0]}), encoding="utf-8")
    assert console("evaluate", model, photos, "--class-map", mapping).code == 0
    mapping.write_text("[]")
    result = console("evaluate", model, photos, "--class-map", mapping)
    assert result.code == 2
    assert "give one object of class names and labels" in result.err


def test_a_second_model_is_compared(console, model, photos, tmp_path):
    result = console("evaluate", model, photos, "--compare", model, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    assert "100.00 % the same prediction" in result.out
    assert "images per second" not in result.out
    values = json.loads((tmp_path / "out/metrics.json").read_text())["comparison"]
    assert values["gain"]["value"] == 0
    assert "Comparison with fruit" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


@pytest.fixture
def two_models(tmp_path):
    """Two networks of which the second one predicts the third class where the first one predicts the second class.

    The images are of one color each, of the first two classes, and the logits of the networks are those of a random
    network without their mean over the images, so that the predictions differ.
    """
    generator = np.random.default_rng(0)
    images = [np.full((32, 32, 3), generator.integers(0, 256, 3), np.uint8) for _ in range(20)]
    first = write_checkpoint(tmp_path / "first")
    mean = np.mean([item.logits for item in Classifier(first, precision="fp32")(images)], axis=0)
    weights = load_file(first / "model.safetensors")
    heads = [name for name in weights if name.startswith("classifier") and ".linear." in name]
    weights |= {name: weights[name] - mean.astype(np.float32) for name in heads if name.endswith("bias")}
    save_file(weights, first / "model.safetensors")
    second = shutil.copytree(first, tmp_path / "second")
    save_file(weights | {name: weights[name][[0, 2, 1, 3, 4]] for name in heads}, second / "model.safetensors")
    for number, pixels in enumerate(images):
        file = tmp_path / "colors" / LABELS[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return first, second, tmp_path / "colors"


def test_the_gain_of_a_second_model_is_the_difference_of_the_accuracies(console, two_models):
    first, second, data = two_models
    single = [
        json.loads(console("evaluate", model, data, "--precision", "fp32", "--json").out)["top1"]["value"]
        for model in (first, second)
    ]
    result = console("evaluate", first, data, "--precision", "fp32", "--compare", second, "--json")
    assert (result.code, result.err) == (0, "")
    values = json.loads(result.out)
    comparison = values["comparison"]
    assert (values["top1"]["value"], comparison["top1"]["value"]) == tuple(single)
    assert comparison["gain"]["value"] == pytest.approx(single[1] - single[0])
    assert comparison["gain"]["value"] < 0
    assert 0 < comparison["agreement"]["value"] < 1
    images = comparison["images"]
    assert (images["only_second"], sum(images.values())) == (0, 20)
    assert (images["both_correct"] + images["only_first"], images["both_correct"]) == (20 * single[0], 20 * single[1])


def test_the_classes_of_the_data_can_be_the_only_ones(console, two_models, tmp_path):
    model, _, data = two_models
    (data / LABELS[0]).rename(data / LABELS[4])
    options = ("--precision", "fp32", "--preprocessing", "exact", "--json")
    indices, num_correct = np.array([1, 4]), {False: 0, True: 0}
    classifier = Classifier(model, precision="fp32", preprocessing="exact")
    for index in indices:
        for prediction in classifier(sorted((data / LABELS[index]).iterdir())):
            num_correct[False] += int(prediction.logits.argmax()) == index
            num_correct[True] += indices[prediction.logits[indices].argmax()] == index
    assert num_correct[False] < num_correct[True]
    for is_restricted in (False, True):
        values = json.loads(console("evaluate", model, data, *options, *["--data-classes-only"] * is_restricted).out)
        assert values["data_classes_only"] is is_restricted
        assert values["top1"]["value"] == pytest.approx(num_correct[is_restricted] / 20)


def test_an_accuracy_over_some_of_the_labels_is_not_saved(console, model, photos, tmp_path):
    file = tmp_path / "fruit.onnx"
    assert console("export", model, file).code == 0
    before = file.read_bytes()
    result = console("evaluate", file, photos, "--save-accuracy", "--data-classes-only")
    assert (result.code, result.out) == (2, "")
    assert "leaveout--data-classes-only" in "".join(result.err.replace("│", "").split())
    assert file.read_bytes() == before


def test_the_split_that_was_chosen_is_named(console, model, photos, tmp_path):
    def summary(data):
        return " ".join(console("evaluate", model, data, "--out", tmp_path / "out").out.split())

    assert " data val: 10 images" in summary(photos)
    (tmp_path / "shards").mkdir()
    for split in ("test", "train"):
        write_parquet(tmp_path / "shards" / f"{split}-0.parquet", names=LABELS)
    assert " data shards, test split: 3 images" in summary(tmp_path / "shards")
    assert json.loads((tmp_path / "out/metrics.json").read_text())["data"]["split"] == "test"


def test_images_with_several_labels_are_evaluated_label_by_label(console, model, photos, tmp_path):
    folder = photos / "val" / LABELS[0]
    lines = [{"file_name": file.name, "labels": [LABELS[0], LABELS[1]]} for file in folder.iterdir()]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    values = json.loads(console("evaluate", model, folder, "--json", "--out", tmp_path / "out").out)
    assert (values["images"]["evaluated"], values["mean_average_precision"]) == (2, 1.0)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"metrics.json", "per_label.csv", "report.html"}
    result = console("evaluate", model, folder, "--out", folder)
    assert (result.code, result.out) == (2, "")
    assert "has other contents" in result.err
    assert "mean average precision" in console("evaluate", model, folder).out
    result = console("evaluate", model, folder, "--compare", model)
    assert (result.code, result.out) == (2, "")
    assert "needimageswithonelabeleach" in "".join(result.err.replace("│", "").split())


def test_without_duplicates_the_other_splits_are_not_read(console, model, photos):
    (photos / "train" / LABELS[0]).mkdir(parents=True)
    first = next((photos / "val" / LABELS[0]).iterdir())
    (photos / "train" / LABELS[0] / "seen.png").write_bytes(first.read_bytes())
    images = json.loads(console("evaluate", model, photos, "--json").out)["images"]
    assert images["duplicates"]["across"] == 1
    result = console("evaluate", model, photos, "--json", "--no-duplicates")
    assert (result.code, json.loads(result.out)["images"]["duplicates"]) == (0, None)


def test_images_outside_the_folder_of_a_table_are_refused_unless_allowed(console, model, photos):
    name = next((photos / "val" / LABELS[0]).iterdir()).name
    (photos / "table").mkdir()
    (photos / "table" / "metadata.csv").write_text(f"file_name,label\n../val/{LABELS[0]}/{name},{LABELS[0]}\n")
    result = console("evaluate", model, photos / "table")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("put the images into the folder of the data, or set --allow-outside\n")
    assert console("evaluate", model, photos / "table", "--allow-outside").code == 0
    assert console("data", photos / "table").code == 2
    assert console("data", photos / "table", "--allow-outside").code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "too deeply nested JSON"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("\ufeff[]", "give one object of class names and labels"),
        ('{"a": 1}', "give one object of class names and labels"),
    ],
)
def test_a_malformed_class_map_is_an_error_of_one_line(console, model, photos, tmp_path, content, message):
    (tmp_path / "map.json").write_text(content, encoding="utf-8")
    result = console("evaluate", model, photos, "--class-map", tmp_path / "map.json")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
