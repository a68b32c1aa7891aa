"""An evaluation of images that may show several classes, as one page."""

from __future__ import annotations

from html import escape

import numpy as np

from levit.evaluation.multi_label import LabelMistake, MultiLabelEvaluation
from levit.images.decoding import ImageSource
from levit.reporting import html_page
from levit.reporting.svg_charts import draw_histogram

_BINS = 10


def write_multi_label_report(one: MultiLabelEvaluation) -> str:
    """The page as HTML: figures, mistakes, how the labels spread, what could not be used, every label."""
    sections = [
        _head(one),
        _cards(one),
        _mistakes(one),
        _spread(one),
        html_page.bad_images(one.bad),
        html_page.empty_classes(one.empty_classes),
        html_page.duplicates(one.duplicates),
        _labels(one),
    ]
    return html_page.write_page(f"{one.model} on {one.data}", sections)


def _head(one: MultiLabelEvaluation) -> str:
    return (
        f"<h1>{escape(one.model)}</h1>\n<p>judged on {one.judged:,} images of <b>{escape(one.data)}</b>, any number of "
        f'labels each, in {escape(one.engine)}, {escape(one.precision)}</p>\n<p class="dim">Of {one.found:,} images '
        f"{one.judged:,} were judged, {len(one.bad):,} could not be used. Data sha256 {one.sha256[:16]}….</p>"
    )


def _cards(one: MultiLabelEvaluation) -> str:
    shown = sum(count > 0 for count in one.support)
    return html_page.cards(
        [
            (html_page.percent(one.mean_average_precision) or "none", "mean average precision"),
            (html_page.percent(one.mean_f1) or "none", "mean F1, each label at its best threshold"),
            (f"{shown:,} of {len(one.labels):,}", "labels that some image shows"),
            (f"{sum(one.support) / one.judged:.1f}", "labels an image, in the mean"),
            (f"{one.images_per_second:,.0f}", "images a second, from file to label"),
        ]
    )


def _mistakes(one: MultiLabelEvaluation) -> str:
    if not one.mistakes:
        return "<h2>Mistakes</h2><p>No label is on the wrong side of a score of one half.</p>"
    return "<h2>Mistakes it was surest of</h2>" + html_page.photos(_photo(one, mistake) for mistake in one.mistakes)


def _photo(one: MultiLabelEvaluation, mistake: LabelMistake) -> tuple[ImageSource, str, str]:
    what = "does not see" if mistake.is_there else "sees"
    label = escape(one.labels[mistake.label])
    return mistake.image, mistake.name, f"{what} <b>{label}</b> ({100 * mistake.score:.0f}&nbsp;%)"


def _spread(one: MultiLabelEvaluation) -> str:
    values = np.array(one.average_precision)
    counts = np.histogram(values[np.isfinite(values)], _BINS, (0, 1))[0]
    return "<h2>How good are the labels?</h2>" + draw_histogram(counts, "average precision, %", "labels")


def _labels(one: MultiLabelEvaluation) -> str:
    order = [index for index, count in enumerate(one.support) if count]
    order.sort(key=lambda index: (one.average_precision[index], one.labels[index]))
    rows = [
        [one.labels[index], f"{one.support[index]:,}", *(html_page.percent(values[index]) for values in
         (one.average_precision, one.f1, one.thresholds))]
        for index in order
    ]  # fmt: skip
    note = (
        '<p class="dim">A label is answered from its threshold on, the score where its F1 is highest. The same images '
        "chose the thresholds, so F1 flatters. Labels that no image shows are in per_label.csv.</p>"
    )
    header = ["label", "images", "average precision", "F1", "threshold"]
    return html_page.worst_and_all("Weakest labels", "labels", header, rows) + note
