"""Files of an evaluation: their contents agree with the evaluation and with each other."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

import levit
from levit.data.labeled_images import LabeledImage
from levit.errors import LevitError
from levit.evaluation.comparison import Comparison
from levit.evaluation.evaluator import evaluate_together
from levit.evaluation.multi_label import evaluate_multi_label
from levit.evaluation.single_label_pass import Evaluation
from levit.reporting.evaluation_output import evaluate_and_write, write_multi_label_evaluation
from levit.reporting.metrics_json import multi_label_metrics
from tests.evaluation.color_data import OUT_OF_RANGE, UNREADABLE, UNUSABLE, ColorDataset, FlagDataset, RedDataset
from tests.evaluation.models import always_green_classifier, multi_label_classifier
from tests.runtime.small_model import color_classifier, uniform_image

MODELS = {"colors": color_classifier, "green": always_green_classifier}


def run(
    folder: Path, data: ColorDataset, other_model: str | None = None, **options: str
) -> tuple[Evaluation, Comparison | None]:
    return evaluate_and_write(
        lambda models: evaluate_together([(MODELS[name](), add) for name, add in models], data, **options),
        "colors",
        other_model,
        folder,
    )


def read_json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_all_files_are_written_and_agree(tmp_path):
    evaluation, comparison = run(tmp_path / "out", ColorDataset(UNUSABLE))
    assert comparison is None
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


def test_the_function_writes_the_same_files_and_calls_back(tmp_path):
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
    run(tmp_path / "out", RedDataset())
    metrics = read_json(tmp_path / "out/metrics.json")
    assert [metrics[f"mean_{name}"] for name in ("recall", "precision", "f1")] == [1, 1, 1]


def test_a_comparison_is_written(tmp_path):
    _, comparison = run(tmp_path / "out", ColorDataset(), "green")
    values = read_json(tmp_path / "out/metrics.json")["comparison"]
    assert (values["model"], values["images"]["only_first"]) == ("colors", 7)
    assert values["gain"]["value"] == comparison.gain.value == pytest.approx(-0.4)
    assert "-40.00 points" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    pixels = uniform_image(0, 255, 0)
    run(tmp_path / "out", ColorDataset([LabeledImage(pixels, (0,), name), LabeledImage(b"no image", (0,), name)]))
    rows = pyarrow.parquet.read_table(tmp_path / "out/predictions.parquet").to_pylist()
    assert rows[-1]["image"] == r"caf\udce9.png"
    assert read_json(tmp_path / "out/metrics.json")["images"]["bad"][0]["name"]


def test_a_failed_evaluation_leaves_the_earlier_one(tmp_path):
    run(tmp_path / "out", ColorDataset())
    before = (tmp_path / "out/metrics.json").read_bytes()
    with pytest.raises(LevitError):
        run(tmp_path / "out", ColorDataset(UNUSABLE), on_bad_image="fail")
    assert (tmp_path / "out/metrics.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_multi_label_files_are_written(tmp_path):
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset(UNREADABLE, OUT_OF_RANGE))
    write_multi_label_evaluation(evaluation, tmp_path)
    values = read_json(tmp_path / "metrics.json")
    assert (values["support"]["red"], values["average_precision"]["green"]) == (3, None)
    images = values["images"]
    assert (images["total"], images["evaluated"], len(images["bad"]), images["empty_classes"]) == (6, 4, 2, ["green"])
    with (tmp_path / "per_label.csv").open() as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["blue", "red", "green"]


def test_classes_of_the_same_name_have_their_own_metrics():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset())
    values = multi_label_metrics(replace(evaluation, labels=("crane", "crane", "dog")))
    assert values["support"] == {"crane": 1, "crane (2)": 3, "dog": 0}
    assert [*values["f1"]] == [*values["support"]]
