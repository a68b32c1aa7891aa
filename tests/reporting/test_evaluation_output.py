"""Files of an evaluation: their contents agree with the evaluation and with each other."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

import levit
from levit.data.labeled_images import LabeledImage
from levit.errors import DataError
from levit.evaluation.multi_label import evaluate_multi_label
from levit.reporting.evaluation_output import write_multi_label_evaluation
from tests.data.datasets_on_disk import write_images
from tests.evaluation.color_data import OUT_OF_RANGE, UNREADABLE, UNUSABLE, ColorDataset, FlagDataset, RedDataset
from tests.evaluation.models import always_green_classifier, crane_classifier, multi_label_classifier
from tests.runtime.small_model import LABELS, color_classifier, uniform_image, write_checkpoint


def read_json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_all_files_are_written_and_agree(tmp_path):
    evaluation = levit.evaluate(color_classifier(), ColorDataset(UNUSABLE), out=tmp_path / "out")
    assert evaluation.comparison is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json", "report.html", "predictions.parquet", "mistakes.csv", "per_class.csv", "confusion.csv",
    }  # fmt: skip
    metrics = read_json(tmp_path / "out/metrics.json")
    assert metrics["top1"]["value"] == evaluation.top1.value == pytest.approx(0.7)
    assert (metrics["images"]["total"], metrics["images"]["evaluated"]) == (14, 10)
    assert metrics["mean_recall"] == pytest.approx(2 / 3)
    rows = pyarrow.parquet.read_table(tmp_path / "out/predictions.parquet").to_pylist()
    assert len(rows) == 10
    assert sum(row["label"] == row["prediction1"] for row in rows) == 7
    assert (rows[6]["image"], rows[6]["label"], rows[6]["prediction1"]) == ("green0", "green", "blue")
    with (tmp_path / "out/per_class.csv").open() as stream:
        green = {row["class"]: row for row in csv.DictReader(stream)}["green"]
    assert (green["support"], green["predicted"], green["recall"], green["precision"]) == ("3", "0", "0.000000", "")
    with (tmp_path / "out/confusion.csv").open() as stream:
        assert list(csv.reader(stream))[2] == ["green", "0", "0", "3"]


def test_it_calls_back_for_each_image_and_writes_the_mistakes(tmp_path):
    called = []
    evaluation = levit.evaluate(
        color_classifier(),
        ColorDataset(),
        out=tmp_path / "out",
        on_prediction=lambda *arguments: called.append(arguments),
    )
    assert (evaluation.top1.value, len(called)) == (pytest.approx(0.7), 10)
    assert read_json(tmp_path / "out/metrics.json")["top1"]["value"] == evaluation.top1.value
    with (tmp_path / "out/mistakes.csv").open() as stream:
        assert [row["image"] for row in csv.DictReader(stream)] == ["green0", "green1", "green2"]
    assert levit.evaluate(color_classifier(), ColorDataset()).top1 == evaluation.top1


def test_means_are_over_the_classes_with_images(tmp_path):
    levit.evaluate(color_classifier(), RedDataset(), out=tmp_path / "out")
    metrics = read_json(tmp_path / "out/metrics.json")
    assert [metrics[f"mean_{name}"] for name in ("recall", "precision", "f1")] == [1, 1, 1]


def test_a_comparison_is_written(tmp_path):
    evaluation = levit.evaluate(
        color_classifier(), ColorDataset(), out=tmp_path / "out", compare=always_green_classifier()
    )
    values = read_json(tmp_path / "out/metrics.json")["comparison"]
    assert (values["model"], values["images"]["only_first"]) == ("colors", 7)
    assert values["gain"]["value"] == evaluation.comparison.gain.value == pytest.approx(-0.4)
    assert "-40.00 points" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_models_are_compared_by_path_and_named_by_their_files(tmp_path):
    file = levit.export(write_checkpoint(tmp_path / "fruit"), tmp_path / "fruit.onnx").path
    data = write_images(tmp_path / "photos", *(f"{label}/1.png" for label in LABELS))
    called = []
    evaluation = levit.evaluate(
        file, data, compare=tmp_path / "fruit", on_prediction=lambda item, *_: called.append(item.name)
    )
    comparison = evaluation.comparison
    assert comparison.names == ("fruit (fruit.onnx)", "fruit (fruit)")
    assert (comparison.agreement.value, comparison.gain.value) == (1, 0)
    assert len(called) == evaluation.num_evaluated == comparison.second.num_evaluated == len(LABELS)


@pytest.mark.parametrize("read", [levit.Classifier, levit.read_checkpoint, Path])
def test_a_model_is_a_path_a_checkpoint_or_a_classifier(tmp_path, read):
    model = read(write_checkpoint(tmp_path / "fruit"))
    data = write_images(tmp_path / "photos", *(f"{label}/1.png" for label in LABELS))
    assert levit.evaluate(model, data).num_evaluated == len(LABELS)


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    pixels = uniform_image(0, 255, 0)
    data = ColorDataset([LabeledImage(pixels, (0,), name), LabeledImage(b"no image", (0,), name)])
    levit.evaluate(color_classifier(), data, out=tmp_path / "out")
    rows = pyarrow.parquet.read_table(tmp_path / "out/predictions.parquet").to_pylist()
    assert rows[-1]["image"] == r"caf\udce9.png"
    assert read_json(tmp_path / "out/metrics.json")["images"]["bad"][0]["name"]


def test_classes_of_the_same_name_are_distinguished_in_all_tables(tmp_path):
    data = ColorDataset()
    data.classes = ("crane (machine)", "tench", "crane (bird)")
    levit.evaluate(crane_classifier(), data, out=tmp_path)
    rows = pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [rows[number]["label"] for number in (0, 6, 9)] == ["crane (bird)", "tench", "crane (machine)"]
    assert rows[9]["prediction1"] == "crane (machine)"
    for file in ("per_class.csv", "confusion.csv"):
        with (tmp_path / file).open(encoding="utf-8") as stream:
            names = [row["class"] for row in csv.DictReader(stream)]
        assert names == ["tench", "crane (bird)", "crane (machine)"]
    with (tmp_path / "mistakes.csv").open(encoding="utf-8") as stream:
        assert {(row["label"], row["prediction"]) for row in csv.DictReader(stream)} == {("tench", "crane (machine)")}


def test_labels_that_the_model_did_not_choose_among_are_no_predictions(tmp_path):
    data = ColorDataset()
    data.classes, data.items = ("red", "green"), [item._replace(labels=(0,)) for item in data.items]
    levit.evaluate(color_classifier(), data, out=tmp_path, data_classes_only=True)
    for row in pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pylist():
        assert {row["prediction1"], row["prediction2"]} == {"red", "green"}
        assert (row["prediction3"], row["score3"]) == (None, None)


def test_an_evaluation_is_a_dictionary_of_the_metrics_in_the_file(tmp_path):
    single = levit.evaluate(color_classifier(), ColorDataset(UNUSABLE), out=tmp_path / "single")
    assert read_json(tmp_path / "single/metrics.json") == json.loads(json.dumps(single.to_dict()))
    several = levit.evaluate_multi_label(multi_label_classifier(), FlagDataset(UNREADABLE), out=tmp_path / "several")
    assert read_json(tmp_path / "several/metrics.json") == json.loads(json.dumps(several.to_dict()))
    assert {path.name for path in (tmp_path / "several").iterdir()} == {
        "metrics.json", "report.html", "per_label.csv",
    }  # fmt: skip
    with pytest.raises(DataError, match="has other contents"):
        levit.evaluate_multi_label(multi_label_classifier(), FlagDataset(), out=tmp_path)


def test_multi_label_files_are_written(tmp_path):
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset(UNREADABLE, OUT_OF_RANGE))
    write_multi_label_evaluation(evaluation, tmp_path)
    values = read_json(tmp_path / "metrics.json")
    assert (values["support"]["red"], values["average_precision"]["green"]) == (3, None)
    images = values["images"]
    assert (images["total"], images["evaluated"], len(images["bad"]), images["empty_classes"]) == (6, 4, 2, ["green"])
    with (tmp_path / "per_label.csv").open() as stream:
        rows = [*csv.DictReader(stream)]
    assert [row["label"] for row in rows] == ["blue", "red", "green"]
    assert (rows[0]["support"], rows[0]["f1"], rows[0]["best_f1"]) == ("1", "0.666667", "1.000000")
    assert [rows[2][column] for column in ("average_precision", "f1", "threshold", "best_f1")] == [""] * 4


def test_classes_of_the_same_name_have_their_own_metrics():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset())
    values = replace(evaluation, labels=("crane", "crane", "dog")).to_dict()
    assert values["support"] == {"crane": 1, "crane (2)": 3, "dog": 0}
    assert [*values["f1"]] == [*values["support"]]
