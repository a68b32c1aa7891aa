"""An evaluation: what is right, what is wrong, what could not be judged, and that the totals reconcile."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.errors import ConfigError, DataError, ImageError, LevitError
from levit.evaluation.accumulator import KEPT_MISTAKES
from levit.evaluation.evaluator import evaluate
from levit.reporting.evaluation_output import evaluation_folder
from tests.runtime.small_model import colors_classifier, plain


class Colors:
    """Images of one color each; what is called green is blue."""

    name, classes, is_multi_label, is_any_label_correct = "colors", ("blue", "green", "red"), False, False
    is_grouped = False

    def __init__(self, extra: list[LabeledImage] | None = None) -> None:
        right = [LabeledImage(plain(255 - 10 * index, 0, 0), (2,), f"red{index}") for index in range(6)]
        wrong = [LabeledImage(plain(0, 0, 100 + index), (1,), f"green{index}") for index in range(3)]
        self.items = [*right, *wrong, LabeledImage(plain(0, 0, 255), (0,), "blue0"), *(extra or [])]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self):
        return iter(self.items)

    def sha256(self) -> str:
        return "0" * 64


BAD = [
    LabeledImage(b"no image", (0,), "broken"),
    LabeledImage(plain(1, 2, 3), (7,), "strange"),
    LabeledImage(plain(1, 2, 3), (0, 1), "double"),
    LabeledImage(plain(1, 2, 3), (), "unknown"),
]


def test_classes_are_compared_by_name():
    one = evaluate(colors_classifier(), Colors())
    assert one.top1.percent == pytest.approx(70)
    assert one.top5.percent == 100
    assert one.tally.confusion.tolist() == [[6, 0, 0], [0, 0, 3], [0, 0, 1]]  # red, green, blue
    assert (one.found, one.judged, one.unlabeled, one.bad) == (10, 10, 0, ())
    np.testing.assert_allclose(one.per_class.recall, [1, 0, 1])
    assert (one.model, one.engine, one.precision, one.data) == ("colors", "fake", "fp32", "colors")
    assert one.accuracy.images == 10


def test_the_surest_mistakes_come_first():
    extra = [LabeledImage(plain(0, 0, 120 + index), (1,), f"more{index}") for index in range(100)]
    mistakes = evaluate(colors_classifier(), Colors(extra)).mistakes
    assert [mistake.name for mistake in mistakes[:2]] == ["more99", "more98"]
    assert len(mistakes) == KEPT_MISTAKES
    scores = [mistake.score for mistake in mistakes]
    assert scores == sorted(scores, reverse=True)


def test_what_cannot_be_used_is_counted_and_named_and_the_totals_reconcile():
    one = evaluate(colors_classifier(), Colors(BAD), batch_size=3)
    assert one.found == one.judged + one.unlabeled + len(one.bad) == 14
    assert (one.judged, one.unlabeled) == (10, 1)
    assert one.empty_classes == ()
    assert {bad.name: bad.reason for bad in one.bad} == {
        "broken": "not an image, or of a format that Pillow cannot read",
        "strange": "label 7 is none of 3 classes",
        "double": "more than one label",
    }


KINDS = [
    LabeledImage(plain(250, 0, 0), (2,), "red"),
    LabeledImage(plain(0, 0, 250), (2,), "wrong"),
    LabeledImage("missing.png", (0,), "missing"),
    *BAD,
]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(KINDS), max_size=12), st.integers(1, 5), st.integers(0, 3))
def test_whatever_is_in_the_data_the_totals_reconcile(items, batch_size, skip):
    data = Colors()
    data.items = [*items, KINDS[0]]
    skip = min(skip, len(items))
    one = evaluate(colors_classifier(), data, batch_size=batch_size, skip=skip)
    kept = [item.name for item in data.items[skip:]]
    assert one.found == len(kept) == one.judged + one.unlabeled + len(one.bad)
    assert one.judged == one.tally.images == sum(name in ("red", "wrong") for name in kept)
    assert one.tally.right == kept.count("red")
    assert one.unlabeled == kept.count("unknown")
    refused = ("missing", "broken", "strange", "double")
    assert sorted(bad.name for bad in one.bad) == sorted(name for name in kept if name in refused)
    seen = {label for item in data.items[skip:] for label in item.labels}
    assert one.empty_classes == tuple(name for label, name in enumerate(data.classes) if label not in seen)


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [(BAD[0], ImageError, "not an image"), (BAD[1], DataError, "strange: label 7 is none of 3 classes")],
)
def test_or_it_fails(bad, kind, message):
    with pytest.raises(kind, match=message):
        evaluate(colors_classifier(), Colors([bad]), on_bad_image="fail")


def test_of_several_labels_one_may_be_enough():
    data = Colors([LabeledImage(plain(0, 0, 9), (1, 0), "either"), LabeledImage(plain(0, 0, 9), (1, 2), "neither")])
    data.is_any_label_correct = True
    one = evaluate(colors_classifier(), data)
    assert (one.judged, one.tally.right) == (12, 8)
    assert one.tally.confusion.tolist() == [[6, 0, 0], [0, 0, 4], [0, 0, 2]]


def test_a_part_that_calibrated_can_be_left_out():
    one = evaluate(colors_classifier(), Colors(), skip=9)
    assert (one.found, one.judged, one.top1.percent) == (1, 1, 100)


def test_what_cannot_be_evaluated_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="on_bad_image is 'ignore': use skip or fail"):
        evaluate(colors_classifier(), Colors(), on_bad_image="ignore")
    with pytest.raises(DataError, match="none of its 0 images could be judged"):
        evaluate(colors_classifier(), Colors(), skip=100)
    nameless = Colors()
    nameless.classes = ()
    with pytest.raises(DataError, match="no labels: put the images into one folder for each class"):
        evaluate(colors_classifier(), nameless)


def test_the_folder_has_everything_and_its_figures_agree(tmp_path):
    with evaluation_folder(tmp_path / "out") as folder:
        one = evaluate(colors_classifier(), Colors(BAD), on_prediction=folder.add)
        folder.finish(one)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["top1"]["percent"] == one.top1.percent
    assert metrics["images"]["found"] == 14
    assert metrics["mean_recall"] == pytest.approx(2 / 3)
    rows = pyarrow.parquet.read_table(tmp_path / "out/predictions.parquet").to_pylist()
    assert len(rows) == 10
    assert sum(row["label"] == row["answer1"] for row in rows) == 7
    assert (rows[6]["image"], rows[6]["label"], rows[6]["answer1"]) == ("green0", "green", "blue")
    with (tmp_path / "out/per_class.csv").open() as stream:
        classes = {row["class"]: row for row in csv.DictReader(stream)}
    assert (classes["green"]["support"], classes["green"]["recall"], classes["green"]["precision"]) == (
        "3",
        "0.000000",
        "",
    )
    with (tmp_path / "out/confusion.csv").open() as stream:
        assert list(csv.reader(stream))[2] == ["green", "0", "0", "3"]


def test_the_report_stands_alone_and_escapes_what_it_shows(tmp_path):
    colors = Colors(BAD)
    colors.name = "<b>colors</b>"
    with evaluation_folder(tmp_path / "out") as folder:
        folder.finish(evaluate(colors_classifier(), colors))
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<b>colors</b>" not in page
    assert "70.00 %" in page
    assert page.count("<figure>") == 3
    assert not re.search(r"https?://|<script|<link|url\(", page)
    assert {source.partition(",")[0] for source in re.findall(r'src="([^"]*)"', page)} == {
        "data:image/jpeg;base64",
        "data:image/png;base64",
    }


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("mine")
    with pytest.raises(DataError, match="there is something else"), evaluation_folder(tmp_path / "photos"):
        pass
    assert (tmp_path / "photos" / "a.txt").read_text() == "mine"


def _write(folder, data):
    with evaluation_folder(folder) as written:
        written.finish(evaluate(colors_classifier(), data, on_prediction=written.add))


def test_means_are_of_the_classes_that_there_are(tmp_path):
    class Known(Colors):
        """One that knows more classes than it has images of."""

        def __init__(self):
            super().__init__()
            self.items = [item for item in self.items if item.name.startswith("red")]

    _write(tmp_path / "out", Known())
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [metrics[f"mean_{name}"] for name in ("recall", "precision", "f1")] == [1, 1, 1]
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert page.count("100.00 %") >= 3
    assert "<td>blue</td>" not in page


def test_a_folder_that_is_there_is_filled_whatever_it_is(tmp_path, monkeypatch):
    for name in ("empty", "linked", "current"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty" / ".hidden").touch()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "current")
    for folder in (tmp_path / "empty", tmp_path / "link", Path()):
        _write(folder, Colors())
        assert (folder / "metrics.json").is_file()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "empty").glob(".*")] == [".hidden"]


def test_an_earlier_evaluation_is_replaced_with_all_its_files(tmp_path):
    _write(tmp_path / "out", Colors())
    (tmp_path / "out" / "per_label.csv").write_text("of an evaluation of several labels")
    _write(tmp_path / "out", Colors(BAD))
    assert json.loads((tmp_path / "out/metrics.json").read_text())["images"]["found"] == 14
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json", "report.html", "predictions.parquet", "per_class.csv", "confusion.csv",
    }  # fmt: skip


def test_names_that_are_not_utf8_are_written_all_the_same(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    pixels = plain(0, 255, 0)
    _write(tmp_path / "out", Colors([LabeledImage(pixels, (0,), name), LabeledImage(b"no image", (0,), name)]))
    rows = pyarrow.parquet.read_table(tmp_path / "out/predictions.parquet").to_pylist()
    assert rows[-1]["image"] == r"caf\udce9.png"
    assert json.loads((tmp_path / "out/metrics.json").read_text())["images"]["bad"][0]["name"]


def test_a_failed_evaluation_leaves_the_last_one(tmp_path):
    def write(data: Colors) -> None:
        with evaluation_folder(tmp_path / "out") as folder:
            folder.finish(evaluate(colors_classifier(), data, on_bad_image="fail", on_prediction=folder.add))

    write(Colors())
    before = (tmp_path / "out/metrics.json").read_bytes()
    with pytest.raises(LevitError):
        write(Colors(BAD))
    assert (tmp_path / "out/metrics.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_the_embedded_model_is_as_good_as_its_file_says(shared_data):
    from levit.runtime.classifier import Classifier

    one = evaluate(None, open_data(Path(shared_data / "tiny-imagenet-val.parquet")), skip=1000)
    recorded = Classifier().artifact.accuracy
    assert (one.judged, one.sha256) == (recorded.images, recorded.sha256)
    assert abs(one.top1.percent - recorded.top1) < 0.3  # another processor computes bf16 in between otherwise
    assert one.calibration.error < 0.1
