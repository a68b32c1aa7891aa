"""An evaluation of images with one class each, as one page."""

from __future__ import annotations

from html import escape

import numpy as np

from levit.evaluation.accumulator import Mistake
from levit.evaluation.comparison import Comparison
from levit.evaluation.evaluator import Evaluation
from levit.evaluation.metrics import Share
from levit.images.decoding import ImageSource
from levit.reporting import html_page
from levit.reporting.svg_charts import draw_confusion, draw_reliability


def write_report(evaluation: Evaluation, comparison: Comparison | None = None) -> str:
    """The page as HTML: figures, the hardest classes, confusions, calibration, mistakes, bad images, every class.

    Args:
        evaluation: of the model that the page is about.
        comparison: of this model with another one.
    """
    one = evaluation
    sections = [
        _head(one),
        _cards(one),
        _comparison(comparison) if comparison is not None else "",
        _mistakes(one),
        _confusions(one),
        _calibration(one),
        html_page.bad_images(one.bad),
        html_page.empty_classes(one.empty_classes),
        html_page.duplicates(one.duplicates),
        _classes(one),
    ]
    return html_page.write_page(f"{one.model} on {one.data}", sections)


def _head(one: Evaluation) -> str:
    matched = ", ".join(f"{count} by {way}" for way, count in one.matched.items())
    return (
        f"<h1>{escape(one.model)}</h1>\n<p>judged on {one.judged:,} images of <b>{escape(one.data)}</b> in "
        f'{escape(one.engine)}, {escape(one.precision)}</p>\n<p class="dim">Of {one.found:,} images {one.judged:,} '
        f"were judged, {one.unlabeled:,} have no label, {len(one.bad):,} could not be used. Classes matched: "
        f"{escape(matched)}. Data sha256 {one.sha256[:16]}….</p>"
    )


def _cards(one: Evaluation) -> str:
    recall, _, f1 = one.per_class.means(one.classes)
    figures = [
        (f"{one.top1.percent:.2f} %", f"top-1 accuracy, {_interval(one.top1)}"),
        (f"{one.top5.percent:.2f} %", f"top-5 accuracy, {_interval(one.top5)}"),
        (f"{100 * recall:.2f} %", "mean recall of the classes"),
        (f"{100 * f1:.2f} %", "mean F1 of the classes"),
        (f"{100 * one.calibration.error:.1f} %", "calibration error of the scores"),
        (f"{one.images_per_second:,.0f}", "images a second, from file to label"),
    ]
    return html_page.cards(figures)


def _interval(one: Share) -> str:
    return f"95 % interval {one.low:.1f} to {one.high:.1f}"


def _comparison(both: Comparison) -> str:
    one, other, gain = both.first, both.second, both.gain
    rows = [
        ["both right", f"{both.both_right:,}"],
        [f"only {one.model}", f"{both.only_first:,}"],
        [f"only {other.model}", f"{both.only_second:,}"],
        ["neither", f"{both.neither:,}"],
    ]
    photos = html_page.photos(
        (one.image, one.truth, f"{escape(one.truth)}: {escape(one.first)}, the other: {escape(one.second)}")
        for one in both.differences
    )
    return (
        f"<h2>Against {escape(other.model)}</h2><p>{escape(other.model)} ({escape(other.engine)}, "
        f"{escape(other.precision)}) has {other.top1.percent:.2f} % top-1: {gain.percent:+.2f} points, 95 % interval "
        f"{gain.low:+.2f} to {gain.high:+.2f}. Both give the same answer for {both.agreement.percent:.1f} % of the "
        f"images.</p>{html_page.table(['right', 'images'], rows)}"
        "<p>Images that one of them alone has right, first those where the other model is surest of its answer:</p>"
        + photos
    )


def _mistakes(one: Evaluation) -> str:
    if not one.mistakes:
        return "<h2>Mistakes</h2><p>There are none.</p>"
    return "<h2>Mistakes it was surest of</h2>" + html_page.photos(_photo(one, mistake) for mistake in one.mistakes)


def _photo(one: Evaluation, mistake: Mistake) -> tuple[ImageSource, str, str]:
    truth, answer = one.labels[mistake.truth], one.labels[mistake.answer]
    return mistake.image, truth, f"{escape(truth)}, taken for <b>{escape(answer)}</b> ({100 * mistake.score:.0f} %)"


def _confusions(one: Evaluation) -> str:
    present = list(one.classes)
    matrix = one.tally.confusion
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[: html_page.SHOWN]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    rows = [
        [
            one.labels[truth],
            one.labels[answer],
            f"{wrong[truth, answer]:,}",
            html_page.percent(wrong[truth, answer] / support),
        ]
        for truth, answer in pairs
        if (support := matrix[truth].sum()) and wrong[truth, answer]
    ]
    picture = draw_confusion(matrix[np.ix_(present, present)])
    return (
        "<h2>What it mixes up</h2>"
        + html_page.table(["class", "taken for", "images", "of the class"], rows, text=2)
        + f'<p class="dim">Each row is a true class, each column an answer, in the order of the labels; the diagonal '
        f'is right. The numbers are in confusion.csv.</p><img class="matrix" alt="confusion matrix" src="{picture}">'
    )


def _calibration(one: Evaluation) -> str:
    return (
        "<h2>Can its scores be trusted?</h2><p>Where the bars stay below the line, it is surer than it should be. The "
        f"mean distance is {100 * one.calibration.error:.1f} points.</p>{draw_reliability(one.calibration)}"
    )


def _classes(one: Evaluation) -> str:
    scores = one.per_class
    order = sorted(scores.among(one.classes), key=lambda index: (np.nan_to_num(scores.f1[index]), one.labels[index]))
    rows = [
        [one.labels[index], f"{scores.support[index]:,}", *(html_page.percent(values[index]) for values in
         (scores.precision, scores.recall, scores.f1))]
        for index in order
    ]  # fmt: skip
    return html_page.worst_and_all("Hardest classes", "classes", ["class", "images", "precision", "recall", "F1"], rows)
