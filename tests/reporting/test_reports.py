"""HTML reports: self-contained pages that escape the names they show."""

import re
from dataclasses import replace

import numpy as np

from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledImage
from levit.evaluation.evaluator import evaluate
from levit.evaluation.metrics import class_metrics
from levit.evaluation.multi_label import evaluate_multi_label
from levit.images import thumbnails
from levit.reporting import html_page
from levit.reporting.evaluation_report import evaluation_report
from levit.reporting.multi_label_report import multi_label_report
from tests.evaluation.color_data import OUT_OF_RANGE, UNREADABLE, UNUSABLE, ColorDataset, FlagDataset, RedDataset
from tests.evaluation.models import always_green_classifier, multi_label_classifier
from tests.runtime.small_model import color_classifier, uniform_image


def image_types(page: str) -> set[str]:
    return {source.partition(",")[0] for source in re.findall(r'src="([^"]*)"', page)}


def is_self_contained(page: str) -> bool:
    return re.search(r"https?://|<script|<link|url\(", page) is None


def test_report_is_self_contained_and_escapes_names():
    data = ColorDataset(UNUSABLE)
    data.name = "<b>colors</b>"
    page = evaluation_report(evaluate(color_classifier(), data))
    assert "<b>colors</b>" not in page
    assert "70.00 %" in page
    assert page.count("<figure>") == 3
    assert is_self_contained(page)
    assert image_types(page) == {"data:image/jpeg;base64"}
    assert "3 images are predicted wrongly." in page
    assert re.findall(r"<code>(.*?)</code>", page) == ["green2", "green1", "green0"]


def test_many_classes_are_drawn_as_a_picture():
    evaluation = evaluate(color_classifier(), ColorDataset())
    labels = tuple(f"class {index}" for index in range(31))
    confusion = np.zeros((31, 31), np.int64)
    confusion[:3, :3] = evaluation.confusion
    scores = class_metrics(confusion.diagonal(), confusion.sum(1), confusion.sum(0))
    many = replace(evaluation, labels=labels, class_indices=range(31), confusion=confusion, per_class=scores)
    assert "data:image/png;base64" in image_types(evaluation_report(many))
    assert "<table><thead>" not in evaluation_report(many)
    assert "<table><thead>" in evaluation_report(replace(many, class_indices=range(30)))
    assert '<table class="few"><thead>' in evaluation_report(evaluation)


def test_no_sentence_and_no_table_is_without_content():
    page = evaluation_report(evaluate(color_classifier(), RedDataset(), compare=color_classifier()))
    assert "There are none." in page
    assert "No image is predicted correctly by only one of them." in page
    assert "<th>of the class</th>" not in page
    assert re.search(r":\s*(</p>|<div class=\"photos\"></div>)", page) is None


def test_calibration_and_speed_are_those_of_many_images():
    evaluation = evaluate(color_classifier(), ColorDataset())
    few, many = evaluation_report(evaluation), evaluation_report(replace(evaluation, num_evaluated=100))
    assert "too few to compare the scores with the accuracy" in few
    assert "images per second" not in few
    assert "Where bars stay below the line" in many
    assert "images per second" in many


def test_classes_are_called_the_hardest_where_others_are_folded():
    rows = [[f"class {index}"] for index in range(html_page.MAX_ROWS + 1)]
    assert "<h2>Classes</h2>" in html_page.hardest_and_all("classes", ["class"], rows[:-1])
    assert "<h2>Hardest classes</h2>" in html_page.hardest_and_all("classes", ["class"], rows)


def test_a_report_says_that_the_model_chose_among_the_classes_of_the_data():
    text = "The model chose among these 3 of its 3 classes only."
    assert text in evaluation_report(evaluate(color_classifier(), ColorDataset(), data_classes_only=True))
    assert "The model chose" not in evaluation_report(evaluate(color_classifier(), ColorDataset()))


def test_names_cannot_reorder_the_text_of_a_report():
    name = "photo\u202egpj.exe"
    data = ColorDataset([LabeledImage(uniform_image(0, 0, 99), (1,), name), UNREADABLE._replace(name=name)])
    data.name = name
    classifier = multi_label_classifier(("red", name, "blue"))
    several = FlagDataset(LabeledImage(uniform_image(0, 0, 240), (2,), name), UNREADABLE._replace(name=name))
    several.classes = ("blue", "red", name)
    pages = [
        evaluation_report(evaluate(color_classifier(), data)),
        multi_label_report(evaluate_multi_label(classifier, several)),
    ]
    for page in pages:
        assert "\u202e" not in page
        assert r"<code>photo\u202egpj.exe</code>" in page


def test_an_image_above_the_default_limit_that_the_model_accepted_has_a_thumbnail(monkeypatch):
    monkeypatch.setitem(thumbnails.thumbnail_url.__kwdefaults__, "max_pixels", 10)
    page = evaluation_report(evaluate(color_classifier(max_pixels=10**9), ColorDataset()))
    assert page.count("data:image/jpeg") == 3


def test_a_photo_that_was_deleted_meanwhile_has_no_picture(tmp_path):
    assert "no picture" in html_page.photos([(tmp_path / "deleted.jpg", "cat", "a cat")])


def test_the_report_counts_only_the_duplicates_that_are_named():
    """metrics.json names at most 200 of any number of duplicates."""
    examples = tuple((f"{number}.png", "a.png") for number in range(200))
    text = html_page.duplicates(Duplicates(5000, 7000, examples, ("train",), {}))
    assert "5,000 are copies" in text
    assert "… and more: metrics.json names 200 of them" in text
    assert "more: metrics.json" not in html_page.duplicates(Duplicates(9, 0, examples[:9], (), {}))


def test_classes_of_the_same_name_are_distinguished():
    evaluation = replace(evaluate(color_classifier(), ColorDataset()), labels=("crane", "crane", "crane"))
    page = evaluation_report(evaluation)
    assert "crane (2), predicted as <b>crane (3)</b>" in page
    assert {f'<td class="text">{name}</td>' for name in ("crane", "crane (2)", "crane (3)")} <= {
        *re.findall(r'<td class="text">[^<]*</td>', page)
    }
    assert 'title="crane (2) predicted as crane (3): 3 of 3"' in page


def test_classes_without_images_are_left_out_of_the_table():
    page = evaluation_report(evaluate(color_classifier(), RedDataset()))
    assert page.count("100.00 %") >= 3
    assert "<td>blue</td>" not in page
    assert "2 classes without an image" in page


def test_report_of_a_comparison_shows_the_disagreements():
    page = evaluation_report(evaluate(color_classifier(), ColorDataset(), compare=always_green_classifier()))
    assert "-40.00 points" in page
    assert page.count("<figure>") == 3 + 10
    assert "only colors (first)" in page
    assert "colors (second): right" in page


def test_multi_label_report_is_self_contained_and_escapes_names():
    data = FlagDataset(UNREADABLE, OUT_OF_RANGE, LabeledImage(uniform_image(0, 0, 240), (1,), "<i>"))
    data.classes = ("blue", "red", "<b>green</b>")
    classifier = multi_label_classifier(("red", "<b>green</b>", "blue"))
    page = multi_label_report(evaluate_multi_label(classifier, data))
    assert "<b>green</b>" not in page
    assert "&lt;b&gt;green" in page
    assert page.count("<figure>") == 2
    assert "2 images that could not be used" in page
    assert "1 classes without an image" not in page
    assert is_self_contained(page)
    assert image_types(page) == {"data:image/jpeg;base64"}


def test_multi_label_report_shows_a_thousand_labels():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset())
    values = tuple(np.linspace(0, 1, 1000))
    page = multi_label_report(
        replace(
            evaluation, labels=tuple(f"label {index}" for index in range(1000)), support=(2,) * 1000,
            average_precision=values, thresholds=values, f1=values, best_f1=values,
        )
    )  # fmt: skip
    assert "All 1,000 labels" in page
    assert page.index('<td class="text">label 0<') < page.index('<td class="text">label 1<')
