"""Several labels for an image: the definitions, and what becomes of a whole data set."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from levit.data.labelled import LabelledImage
from levit.errors import DataError, ImageError
from levit.evaluation.multi_label import average_precision, best_threshold, evaluate_multi_label, write_multi_label
from levit.runtime.classifier import Classifier
from levit.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import colors_card, plain


def classifier() -> Classifier:
    """Says of each color by itself how much there is of it."""
    return Classifier(FakeEngine(colors_card(), lambda batch: 8 * (batch.mean((2, 3)) - 0.5)))


class Flags:
    name, classes, is_multi_label, any_is_right, is_grouped = "flags", ("blue", "red", "green"), True, False, False

    def __init__(self, *extra: LabelledImage) -> None:
        self.items = [
            LabelledImage(plain(250, 0, 250), (0, 1), "pink"),
            LabelledImage(plain(240, 0, 10), (1,), "red"),
            LabelledImage(plain(5, 0, 245), (1,), "blue, but called red"),
            LabelledImage(plain(0, 0, 0), (), "black"),
            *extra,
        ]

    def __iter__(self):
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def sha256(self) -> str:
        return "0" * 64


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


BROKEN = [LabelledImage(b"no image", (0,), "broken"), LabelledImage(plain(1, 1, 1), (9,), "strange")]


def test_what_cannot_be_used_is_named_and_the_totals_reconcile():
    one = evaluate_multi_label(classifier(), Flags(*BROKEN))
    assert one.found == one.judged + len(one.bad) == 6
    assert [(bad.name, bad.reason) for bad in one.bad] == [
        ("broken", "not an image, or of a format that Pillow cannot read"),
        ("strange", "label 9 is none of 3 classes"),
    ]
    for bad, kind in zip(BROKEN, (ImageError, DataError), strict=True):
        with pytest.raises(kind):
            evaluate_multi_label(classifier(), Flags(bad), fails=True)


def test_everything_is_written(tmp_path):
    write_multi_label(evaluate_multi_label(classifier(), Flags()), tmp_path / "out")
    values = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (values["support"]["red"], values["average_precision"]["green"]) == (3, None)
    with (tmp_path / "out/per_label.csv").open() as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["blue", "red", "green"]


@settings(deadline=None)
@given(arrays(np.float32, 30, elements=st.sampled_from([0.125, 0.25, 0.5, 0.75])), arrays(np.bool_, 30))
def test_they_are_what_scikit_learn_says(scores, truth):
    if not truth.any():
        assert np.isnan(average_precision(scores, truth))
        return
    assert average_precision(scores, truth) == pytest.approx(metrics.average_precision_score(truth, scores))
    threshold, f1 = best_threshold(scores, truth)
    assert f1 == pytest.approx(metrics.f1_score(truth, scores >= threshold))
    assert all(metrics.f1_score(truth, scores >= other) <= f1 + 1e-12 for other in np.unique(scores))
