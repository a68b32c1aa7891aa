"""Several labels for an image: the definitions, and what becomes of a whole data set."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from levit.data.labeled_images import LabeledImage
from levit.errors import DataError, ImageError, LevitWarning
from levit.evaluation.multi_label import average_precision, best_threshold, evaluate_multi_label
from levit.reporting.multi_label_output import write_multi_label
from levit.reporting.multi_label_report import write_multi_label_report
from levit.runtime.classifier import Classifier
from levit.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import colors_card, plain


def classifier() -> Classifier:
    """Says of each color by itself how much there is of it."""
    card = replace(colors_card(), is_multi_label=True)
    return Classifier(FakeEngine(card, lambda batch: 8 * (batch.mean((2, 3)) - 0.5)))


class Flags:
    name, classes, is_multi_label, is_any_label_correct, is_grouped = (
        "flags",
        ("blue", "red", "green"),
        True,
        False,
        False,
    )

    def __init__(self, *extra: LabeledImage) -> None:
        self.items = [
            LabeledImage(plain(250, 0, 250), (0, 1), "pink"),
            LabeledImage(plain(240, 0, 10), (1,), "red"),
            LabeledImage(plain(5, 0, 245), (1,), "blue, but called red"),
            LabeledImage(plain(0, 0, 0), (), "black"),
            *extra,
        ]

    def __iter__(self):
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def sha256(self) -> str:
        return "0" * 64


def test_data_without_a_label_is_an_error():
    class Bare(Flags):
        classes = ()

    with pytest.raises(DataError, match="flags: no image has a label"):
        evaluate_multi_label(classifier(), Bare())


def test_the_figures_are_those_of_the_definitions():
    one = evaluate_multi_label(classifier(), Flags())
    assert one.labels == ("blue", "red", "green")
    assert (one.found, one.judged, one.support) == (4, 4, (1, 3, 0))
    assert one.average_precision[:2] == (1.0, pytest.approx(1.0))
    assert np.isnan(one.average_precision[2])
    assert one.mean_average_precision == pytest.approx(1.0)
    assert one.f1[:2] == (1.0, 1.0)
    assert one.thresholds[0] > 0.9
    assert one.thresholds[2] == np.inf


BROKEN = [LabeledImage(b"no image", (0,), "broken"), LabeledImage(plain(1, 1, 1), (9,), "strange")]


def test_a_model_for_one_label_is_judged_by_scores_that_it_does_not_give_which_is_said():
    with pytest.warns(LevitWarning, match=r"trained for one label an image: its sigmoids are judged here"):
        found = evaluate_multi_label(Classifier(FakeEngine(colors_card(), lambda batch: batch.mean((2, 3)))), Flags())
    assert found.judged == 4


def test_what_cannot_be_used_is_named_and_the_totals_reconcile():
    one = evaluate_multi_label(classifier(), Flags(*BROKEN))
    assert one.found == one.judged + len(one.bad) == 6
    assert {bad.name: bad.reason for bad in one.bad} == {
        "broken": "not an image, or of a format that Pillow cannot read",
        "strange": "label 9 is none of 3 classes",
    }
    for bad, kind in zip(BROKEN, (ImageError, DataError), strict=True):
        with pytest.raises(kind):
            evaluate_multi_label(classifier(), Flags(bad), fails=True)


def test_everything_is_written(tmp_path):
    write_multi_label(evaluate_multi_label(classifier(), Flags(*BROKEN)), tmp_path)
    values = json.loads((tmp_path / "metrics.json").read_text())
    assert (values["support"]["red"], values["average_precision"]["green"]) == (3, None)
    images = values["images"]
    assert (images["found"], images["judged"], len(images["bad"]), images["empty_classes"]) == (6, 4, 2, ["green"])
    with (tmp_path / "per_label.csv").open() as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["blue", "red", "green"]


def test_the_label_that_is_furthest_from_the_truth_is_shown():
    """Blue is called red only: red is missed (score 2 %), and blue is seen (98 %) where nobody says so."""
    (mistake,) = evaluate_multi_label(classifier(), Flags()).mistakes
    assert (mistake.name, mistake.label, mistake.is_there) == ("blue, but called red", 1, True)
    assert mistake.score < 0.05
    seen = LabeledImage(plain(0, 255, 0), (), "green, but nobody says so")
    first, _ = evaluate_multi_label(classifier(), Flags(seen)).mistakes
    assert (first.name, first.label, first.is_there) == (seen.name, 2, False)


def test_the_report_stands_alone_and_shows_a_thousand_labels():
    data = Flags(*BROKEN, LabeledImage(plain(0, 0, 240), (1,), "<i>"))
    data.classes = ("blue", "red", "<b>green</b>")
    labels = ("red", "<b>green</b>", "blue")
    card = replace(colors_card(labels), is_multi_label=True)
    engine = FakeEngine(card, lambda batch: 8 * (batch.mean((2, 3)) - 0.5))
    page = write_multi_label_report(evaluate_multi_label(Classifier(engine), data))
    assert "<b>green</b>" not in page
    assert "&lt;b&gt;green" in page
    assert page.count("<figure>") == 2
    assert "2 images that could not be used" in page
    assert "1 classes without an image" not in page
    assert not re.search(r"https?://|<script|<link|url\(", page)
    assert {source.partition(",")[0] for source in re.findall(r'src="([^"]*)"', page)} == {"data:image/jpeg;base64"}
    one = evaluate_multi_label(classifier(), Flags())
    values = np.linspace(0, 1, 1000)
    many = replace(one, labels=tuple(f"label {index}" for index in range(1000)), support=(2,) * 1000,
                   average_precision=tuple(values), thresholds=tuple(values), f1=tuple(values))  # fmt: skip
    page = write_multi_label_report(many)
    assert "All 1,000 labels" in page
    assert page.index('<td class="text">label 0<') < page.index('<td class="text">label 1<')


@given(arrays(np.float32, 30, elements=st.sampled_from([0.125, 0.25, 0.5, 0.75])), arrays(np.bool_, 30))
def test_they_are_what_scikit_learn_says(scores, truth):
    if not truth.any():
        assert np.isnan(average_precision(scores, truth))
        return
    assert average_precision(scores, truth) == pytest.approx(metrics.average_precision_score(truth, scores))
    threshold, f1 = best_threshold(scores, truth)
    assert f1 == pytest.approx(metrics.f1_score(truth, scores >= threshold))
    assert all(metrics.f1_score(truth, scores >= other) <= f1 + 1e-12 for other in np.unique(scores))
