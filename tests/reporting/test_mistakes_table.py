"""mistakes.csv names every image that is predicted wrongly."""

import csv

from levit.data.labeled_images import LabeledImage
from levit.evaluation.evaluator import evaluate
from levit.reporting.mistakes_table import MistakesTable
from tests.evaluation.color_data import UNUSABLE, ColorDataset
from tests.runtime.small_model import color_classifier, uniform_image


def test_every_mistake_has_a_row_with_both_labels_and_scores(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    data = ColorDataset([*UNUSABLE, LabeledImage(uniform_image(0, 255, 0), (0,), name)])
    with MistakesTable(tmp_path / "mistakes.csv") as table:
        evaluate(color_classifier(), data, on_prediction=table.add)
    with (tmp_path / "mistakes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["label"], row["prediction"]) for row in rows] == [
        *((f"green{index}", "green", "blue") for index in range(3)),
        (r"caf\udce9.png", "blue", "green"),
    ]
    assert all(float(row["score"]) > float(row["label_score"]) >= 0 for row in rows)
