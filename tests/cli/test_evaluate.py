import json

import numpy as np
import pytest
from PIL import Image

from levit.runtime.classifier import Classifier
from tests.runtime.small_model import LABELS


@pytest.fixture
def photos(tmp_path):
    """Noise in a folder for each label, one file that is none."""
    generator = np.random.default_rng(0)
    for index in range(10):
        file = tmp_path / "photos" / "val" / LABELS[index % len(LABELS)] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
    return tmp_path / "photos"


def test_the_table_and_the_folder(console, model, photos, tmp_path):
    answer = console("evaluate", model, photos, "--out", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")
    fields = {line.split("  ")[0]: line for line in answer.out.splitlines()}
    assert "10 images, 10 judged" in fields["data"]
    assert "95 % interval" in fields["top-1"]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "metrics.json", "per_class.csv", "confusion.csv", "predictions.parquet"}
    assert json.loads((tmp_path / "out/metrics.json").read_text())["images"]["judged"] == 10


def test_json_is_one_object_and_bad_images_are_an_exit_code(console, model, photos):
    (photos / "val" / LABELS[0] / "bad.jpg").write_text("no image")
    answer = console("evaluate", model, photos, "--json")
    assert (answer.code, answer.err) == (1, "")
    images = json.loads(answer.out)["images"]
    assert (images["found"], images["judged"]) == (11, 10)
    assert images["bad"][0]["name"] == f"{LABELS[0]}/bad.jpg"
    answer = console("evaluate", model, photos, "--on-bad-image", "fail")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("bad.jpg: not an image, or of a format that Pillow cannot read\n")


def test_what_is_there_twice_and_classes_without_images_are_said(console, model, photos, tmp_path):
    first = next((photos / "val" / LABELS[0]).iterdir())
    (photos / "val" / LABELS[1] / "copy.png").write_bytes(first.read_bytes())
    (photos / "train" / LABELS[0]).mkdir(parents=True)
    (photos / "train" / LABELS[0] / "seen.png").write_bytes(first.read_bytes())
    for file in (photos / "val" / LABELS[2]).iterdir():
        file.unlink()
    answer = console("evaluate", model, photos, "--out", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")
    fields = {line.split("  ")[0]: " ".join(line.split()) for line in answer.out.splitlines()}
    assert fields["empty classes"].endswith(f"1: {LABELS[2]}")
    assert "2 also in train, 1 twice in the data" in fields["duplicates"]
    images = json.loads((tmp_path / "out/metrics.json").read_text())["images"]
    assert images["empty_classes"] == [LABELS[2]]
    found = images["duplicates"]
    assert (found["within"], found["elsewhere"], found["compared"]) == (1, 2, ["train"])
    assert found["named"][0]["also"] == f"train: {LABELS[0]}/seen.png"
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Images that are there twice" in page
    assert "1 class without an image" in page


def test_the_accuracy_goes_into_an_exported_file(console, model, photos, tmp_path):
    file = tmp_path / "fruit.onnx"
    assert console("export", model, file).code == 0
    answer = console("evaluate", file, photos, "--save-accuracy", "--json")
    recorded = Classifier(file).artifact.accuracy
    values = json.loads(answer.out)
    assert (recorded.top1, recorded.images, recorded.data) == (values["top1"]["percent"], 10, "val")
    assert recorded.sha256 == values["data"]["sha256"]
    answer = console("evaluate", model, photos, "--save-accuracy")
    assert (answer.code, answer.out) == (2, "")
    assert "isnoexportedfile" in "".join(answer.err.replace("│", "").split())  # a long name breaks lines anywhere


def test_classes_of_other_names_can_be_mapped(console, model, photos, tmp_path):
    (photos / "val" / LABELS[0]).rename(photos / "val" / "äpple")
    answer = console("evaluate", model, photos)
    assert answer.code == 2
    assert "no label for 1 of 5 classes ('äpple'): give --class-map" in answer.err
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"äpple": LABELS[0]}), encoding="utf-8")
    assert console("evaluate", model, photos, "--class-map", mapping).code == 0
    mapping.write_text("[]")
    answer = console("evaluate", model, photos, "--class-map", mapping)
    assert answer.code == 2
    assert "give one object of class names and labels" in answer.err


def test_another_model_is_judged_beside_it(console, model, photos, tmp_path):
    answer = console("evaluate", model, photos, "--compare", model, "--out", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")
    assert "100.00 % the same answer" in answer.out
    values = json.loads((tmp_path / "out/metrics.json").read_text())["compared"]
    assert values["gain"]["percent"] == 0
    assert "Against fruit" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_images_with_several_labels_are_judged_label_by_label(console, model, photos, tmp_path):
    folder = photos / "val" / LABELS[0]
    lines = [{"file_name": file.name, "labels": [LABELS[0], LABELS[1]]} for file in folder.iterdir()]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    values = json.loads(console("evaluate", model, folder, "--json", "--out", tmp_path / "out").out)
    assert (values["images"]["judged"], values["mean_average_precision"]) == (2, 1.0)
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"metrics.json", "per_label.csv", "report.html"}
    answer = console("evaluate", model, folder, "--out", folder)
    assert (answer.code, answer.out) == (2, "")
    assert "there is something else" in answer.err
    assert "mean average precision" in console("evaluate", model, folder).out
    answer = console("evaluate", model, folder, "--compare", model)
    assert (answer.code, answer.out) == (2, "")
    assert "needimageswithonelabeleach" in "".join(answer.err.replace("│", "").split())
